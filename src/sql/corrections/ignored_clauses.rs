//! Clauses that the parser accepts and DataFusion silently ignores. They are rewritten to equivalent SQL that DataFusion supports, or refused.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Fetch, GroupByExpr, GroupByWithModifier, LimitClause, OrderBy, OrderByKind, Query, Select, SelectFlavor, SelectItem,
    SetExpr, Spanned, Statement, TableFactor, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::sql::SqlError;
use crate::sql::error::bytes_of;

pub(in crate::sql) fn write_out(text: &str, query: &mut Statement) -> Result<(), SqlError> {
    match VisitMut::visit(query, &mut Clauses { text }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Clauses<'a> {
    text: &'a str,
}

impl VisitorMut for Clauses<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if query.for_clause.is_some() {
            return self.refuse("FOR XML, JSON and BROWSE", "leave it out", Span::empty());
        }
        fetch_as_limit(query);
        order_by_places(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if let Some(filter) = &select.prewhere {
            return self.refuse("PREWHERE", "write WHERE", filter.span());
        }
        if !select.connect_by.is_empty() {
            return self.refuse("CONNECT BY", "write WITH RECURSIVE", Span::empty());
        }
        if select.value_table_mode.is_some() {
            return self.refuse("SELECT AS STRUCT or VALUE", "write struct(...)", Span::empty());
        }
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            return self.refuse("FROM without SELECT", "write SELECT *", Span::empty());
        }
        let (GroupByExpr::Expressions(_, modifiers) | GroupByExpr::All(modifiers)) = &select.group_by;
        match (modifiers.as_slice(), &select.group_by) {
            ([], _) => ControlFlow::Continue(()),
            ([GroupByWithModifier::Rollup], GroupByExpr::Expressions(by, _)) => {
                let sets = Expr::Rollup(by.iter().map(|by| vec![by.clone()]).collect());
                select.group_by = GroupByExpr::Expressions(vec![sets], Vec::new());
                ControlFlow::Continue(())
            }
            ([GroupByWithModifier::Cube], GroupByExpr::Expressions(by, _)) => {
                let sets = Expr::Cube(by.iter().map(|by| vec![by.clone()]).collect());
                select.group_by = GroupByExpr::Expressions(vec![sets], Vec::new());
                ControlFlow::Continue(())
            }
            _ => self.refuse("this WITH after GROUP BY", "write GROUP BY ROLLUP (...), CUBE (...) or GROUPING SETS (...)", Span::empty()),
        }
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<SqlError> {
        let span = table.span();
        match table {
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => {
                self.refuse("TABLESAMPLE, which gives other rows at every call,", "filter by a column of the row", span)
            }
            TableFactor::Table { version: Some(_), .. } => {
                self.refuse("a table as of another time", "a view is of the tables as they are: leave it out", span)
            }
            TableFactor::Table { with_ordinality: true, .. } => {
                self.refuse("WITH ORDINALITY", "write row_number() OVER (ORDER BY ...)", span)
            }
            TableFactor::Table { partitions, .. } if !partitions.is_empty() => {
                self.refuse("a partition of a table", "write WHERE with what its rows have in common", span)
            }
            TableFactor::Table { json_path: Some(_), .. } => self.refuse("a path after a table", "write it after a column", span),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Clauses<'_> {
    fn refuse(&self, what: &str, help: &str, span: Span) -> ControlFlow<SqlError> {
        ControlFlow::Break(SqlError::new(format!("{what} is not maintained")).at(bytes_of(self.text, span)).help(help))
    }
}

/// Replaces names in ORDER BY that are names of selected columns by their positions. DataFusion would search the columns of FROM first, and
/// would take a column of the enclosing query if several columns there have the name.
pub(in crate::sql) fn order_by_places(query: &mut Query) {
    let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(order), .. })) = (query.body.as_ref(), &mut query.order_by)
    else {
        return;
    };
    if matches!(select.distinct, Some(Distinct::On(_))) || select.projection.iter().any(is_several) {
        return;
    }
    let names: Vec<Option<&str>> = select.projection.iter().map(name_of_item).collect();
    for by in order {
        let Expr::Identifier(wanted) = &by.expr else { continue };
        let mut places = names.iter().zip(1..).filter(|(name, _)| **name == Some(wanted.value.as_str())).map(|(_, place)| place);
        if let (Some(place), None) = (places.next(), places.next()) {
            by.expr = Expr::value(Value::Number(i32::to_string(&place), false));
        }
    }
}

fn is_several(item: &SelectItem) -> bool {
    matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. })
}

/// The name of a selected column, if it is given or follows from a plain column.
pub(in crate::sql) fn name_of_item(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(&name.value),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(|name| name.value.as_str()),
        _ => None,
    }
}

/// Rewrites FETCH FIRST n ROWS ONLY to LIMIT n.
fn fetch_as_limit(query: &mut Query) {
    let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else { return };
    let rows = quantity.clone().unwrap_or_else(|| Expr::value(Value::Number("1".into(), false)));
    match &mut query.limit_clause {
        None => query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(rows), offset: None, limit_by: Vec::new() }),
        Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = Some(rows),
        Some(_) => return,
    }
    query.fetch = None;
}
