//! Expands `*` over merged columns; qualifies `t.*` of a table `source.t` with the source.

use datafusion::sql::sqlparser::ast::{
    ExceptSelectItem, ExcludeSelectItem, Ident, ObjectName, ReplaceSelectElement, Select, SelectItem, SelectItemQualifiedWildcardKind,
    TableFactor, TableWithJoins, WildcardAdditionalOptions,
};

use super::joins::at;
use super::{Misnamed, Scope, ShownColumn};

pub(super) fn is_all(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_))
}

/// Replaces each `*` by the columns of the scope.
pub(super) fn spell_out(select: &mut Select, scope: &Scope) -> Result<(), Misnamed> {
    if !select.projection.iter().any(is_all) {
        return Ok(());
    }
    if let Some(place) = scope.unnamed {
        let message = "this has no column names, and cannot be combined with USING or NATURAL under `*`".into();
        return Err(Misnamed { message, help: "write AS name(column) after it", place });
    }
    let mut items = Vec::new();
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(options) => items.extend(columns(options, scope)?),
            other => items.push(other),
        }
    }
    select.projection = items;
    Ok(())
}

/// DataFusion resolves columns by the table's name alone, but not `t.*`.
pub(super) fn qualify(select: &mut Select, from: &[TableWithJoins]) {
    for item in &mut select.projection {
        if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
            && name.0.len() == 1
            && let Some(whole) = from.iter().find_map(|tables| table(tables, name))
        {
            *name = whole.clone();
        }
    }
}

/// The full name, with the source, of a table in FROM whose last part is `called`.
fn table<'a>(tables: &'a TableWithJoins, called: &ObjectName) -> Option<&'a ObjectName> {
    let of_factor = |factor: &'a TableFactor| match factor {
        TableFactor::Table { name, alias: None, .. } => Some(name).filter(|name| name.0.len() > 1 && is_last(name, called)),
        TableFactor::NestedJoin { table_with_joins, alias: None } => table(table_with_joins, called),
        _ => None,
    };
    std::iter::once(&tables.relation).chain(tables.joins.iter().map(|join| &join.relation)).find_map(of_factor)
}

fn is_last(name: &ObjectName, called: &ObjectName) -> bool {
    let last = |name: &ObjectName| name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.clone());
    last(name) == last(called)
}

fn columns(options: WildcardAdditionalOptions, scope: &Scope) -> Result<Vec<SelectItem>, Misnamed> {
    let place = options.wildcard_token.0.span;
    let WildcardAdditionalOptions { opt_ilike, opt_exclude, opt_except, opt_replace, opt_rename, .. } = options;
    let wrong = |message: String, help| Misnamed { message, help, place };
    if opt_ilike.is_some() || opt_rename.is_some() {
        return Err(wrong("ILIKE and RENAME after `*` cannot be combined with USING or NATURAL".into(), "name the columns"));
    }
    let mut without: Vec<String> = match opt_exclude {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => {
            name.0.last().and_then(|part| part.as_ident()).map(|name| name.value.clone()).into_iter().collect()
        }
        Some(ExcludeSelectItem::Multiple(names)) => {
            names.iter().filter_map(|name| Some(name.0.last()?.as_ident()?.value.clone())).collect()
        }
    };
    if let Some(ExceptSelectItem { first_element, additional_elements }) = opt_except {
        without.extend(std::iter::once(first_element).chain(additional_elements).map(|name| name.value));
    }
    let mut replaced: Vec<ReplaceSelectElement> =
        opt_replace.map_or(Vec::new(), |replace| replace.items.into_iter().map(|item| *item).collect());
    if let Some(name) =
        without.iter().chain(replaced.iter().map(|item| &item.column_name.value)).find(|name| scope.named(name).next().is_none())
    {
        return Err(wrong(format!("`*` has no column `{name}` here"), "name one that it has"));
    }
    let mut items = Vec::new();
    for ShownColumn { name, expr, is_merged, .. } in scope.columns.iter().filter(|column| !without.contains(&column.name.value)) {
        let alias = || Ident { span: place, ..name.clone() };
        items.push(match replaced.iter().position(|item| item.column_name.value == name.value) {
            Some(which) => SelectItem::ExprWithAlias { expr: replaced.swap_remove(which).expr, alias: alias() },
            None if *is_merged => SelectItem::ExprWithAlias { expr: at(expr, place), alias: alias() },
            None => SelectItem::UnnamedExpr(at(expr, place)),
        });
    }
    Ok(items)
}
