//! Resolves the two sides of a relation, and checks that their types can be equal.
//!
//! A relation is between the child and the row of its direct parent, never further up. A field without a path belongs to the parent. If the
//! parent is not the root and another enclosing row has a column of that name too, the field is refused as ambiguous.

use super::input::InputDraft;
use super::parents::{Parent, no_such_path, split_field};
use super::problems::ViewProblems;
use crate::plan::written::{Written, WrittenDocument};
use crate::value::Type;

/// The drafts of a view's inputs; `None` if the table is unknown.
pub(super) struct Drafts<'a> {
    pub root: Option<InputDraft<'a>>,
    pub lookups: Vec<Option<InputDraft<'a>>>,
}

impl<'a> Drafts<'a> {
    pub(super) fn draft(&mut self, parent: Parent) -> Option<&mut InputDraft<'a>> {
        match parent {
            Parent::Root => self.root.as_mut(),
            Parent::Lookup(i) => self.lookups[i].as_mut(),
            Parent::Unknown => None,
        }
    }

    fn get(&self, parent: Parent) -> Option<&InputDraft<'a>> {
        match parent {
            Parent::Root => self.root.as_ref(),
            Parent::Lookup(i) => self.lookups[i].as_ref(),
            Parent::Unknown => None,
        }
    }
}

/// The columns of the parent and of the child that lookup `i` relates, without those that were not found.
pub(super) fn relate(
    document: &WrittenDocument,
    parents: &[Parent],
    i: usize,
    drafts: &mut Drafts,
    found: &mut ViewProblems,
) -> (Vec<usize>, Vec<usize>) {
    let (mut parent_columns, mut child_columns) = (Vec::new(), Vec::new());
    for (field, child) in &document.lookups[i].on {
        let parent_column = parent_column(document, parents, i, field, drafts, found);
        let child_column = drafts.lookups[i].as_mut().and_then(|draft| draft.need(child, found));
        let (Some(p), Some(c)) = (parent_column, child_column) else { continue };
        refuse_unlike(document, parents[i], i, (field, p), (child, c), drafts, found);
        parent_columns.push(p);
        child_columns.push(c);
    }
    (parent_columns, child_columns)
}

fn parent_column(
    document: &WrittenDocument,
    parents: &[Parent],
    i: usize,
    field: &Written<String>,
    drafts: &mut Drafts,
    found: &mut ViewProblems,
) -> Option<usize> {
    let (path, column) = split_field(&field.value);
    let parent_path = match parents[i] {
        Parent::Unknown => return None,
        Parent::Root => None,
        Parent::Lookup(parent) => Some(document.lookups[parent].path.value.join(".")),
    };
    match (path, &parent_path) {
        (Some(path), parent) if parent.as_deref() != Some(path) => {
            refuse_other_parent(document, i, field, path, parent.as_deref(), found);
            return None;
        }
        (None, Some(parent)) => {
            if let Some((_, other)) = others_with(column, document, parents, i, drafts).into_iter().next() {
                let here = drafts.get(parents[i]).is_some_and(|draft| draft.has(column));
                refuse_ambiguous(field, parent, &other, here, found);
                return None;
            }
        }
        (None, None) => {
            if drafts.root.as_ref().is_some_and(|root| !root.has(column)) {
                refuse_not_of_root(document, i, field, drafts, found);
                return None;
            }
        }
        (Some(_), _) => {}
    }
    let column = Written::new(column.to_string(), field.at);
    drafts.draft(parents[i]).and_then(|draft| draft.need(&column, found))
}

/// The enclosing rows of lookup `i` above its parent that have this column, each with its name for messages.
fn others_with(column: &str, document: &WrittenDocument, parents: &[Parent], i: usize, drafts: &Drafts) -> Vec<(Parent, String)> {
    let mut others = Vec::new();
    let mut around = parents[i];
    while let Parent::Lookup(lookup) = around {
        around = parents[lookup];
        if drafts.get(around).is_some_and(|draft| draft.has(column)) {
            let name = match around {
                Parent::Lookup(further) => format!("`{}.{column}`", document.lookups[further].path.value.join(".")),
                Parent::Root | Parent::Unknown => format!("the root's `{column}`"),
            };
            others.push((around, name));
        }
    }
    others
}

fn refuse_ambiguous(field: &Written<String>, parent: &str, other: &str, here: bool, found: &mut ViewProblems) {
    let column = &field.value;
    match here {
        true => {
            let message = format!("`{column}` could be `{parent}.{column}` or {other}");
            found.say(field.at, message, Some("which one?".into()), Some(format!("write `{parent}.{column}`")));
        }
        false => {
            let message = format!("`{parent}` has no column `{column}`");
            let help = format!("{other} is not in the parent: a lookup can only be related to its parent's row");
            found.say(field.at, message, None, Some(help));
        }
    }
}

fn refuse_other_parent(
    document: &WrittenDocument,
    i: usize,
    field: &Written<String>,
    path: &str,
    parent: Option<&str>,
    found: &mut ViewProblems,
) {
    if !document.lookups.iter().any(|l| l.path.value.join(".") == path) {
        return no_such_path(&document.lookups, i, field, path, found);
    }
    let own = document.lookups[i].path.value.join(".");
    let (_, column) = split_field(&field.value);
    let last = document.lookups[i].path.value.last().map_or("", String::as_str);
    let (lies, way) = match parent {
        Some(parent) => (format!("in `{parent}`"), format!("relate it to `{parent}.{column}`, or give it the path `{path}.{last}`")),
        None => ("in the root".to_string(), format!("give it the path `{path}.{last}`, or relate it to a column of the root")),
    };
    found.say(field.at, format!("`{own}` lies {lies}, but is related to `{path}`"), None, Some(way));
}

/// Reports a field without a path that the root does not have, and names the lookups that have it.
fn refuse_not_of_root(document: &WrittenDocument, i: usize, field: &Written<String>, drafts: &Drafts, found: &mut ViewProblems) {
    let has = |draft: &Option<InputDraft>| draft.as_ref().is_some_and(|d| d.has(&field.value));
    let others = document.lookups.iter().zip(&drafts.lookups).enumerate().filter(|(other, _)| *other != i);
    let owners = others.filter(|(_, (l, draft))| !l.path.value.is_empty() && has(draft));
    let candidates: Vec<String> = owners.map(|(_, (l, _))| format!("`{}.{}`", l.path.value.join("."), field.value)).collect();
    let Some(root) = &drafts.root else { return };
    match candidates.as_slice() {
        [] => root.unknown_column(field, found),
        [one] => {
            let message = format!("{} has no column `{}`", root.of, field.value);
            found.say(field.at, message, None, Some(format!("if {one} is meant, write that, and give the lookup a path in it")));
        }
        several => {
            let message = format!("`{}` could be {}", field.value, several.join(" or "));
            let label = format!("{} has no such column", root.of);
            found.say(field.at, message, Some(label), Some("write the one that is meant, and give the lookup a path in it".into()));
        }
    }
}

fn refuse_unlike(
    document: &WrittenDocument,
    parent: Parent,
    i: usize,
    (field, p): (&Written<String>, usize),
    (child, c): (&Written<String>, usize),
    drafts: &Drafts,
    found: &mut ViewProblems,
) {
    let (Some(parent_draft), Some(child_draft)) = (drafts.get(parent), drafts.lookups[i].as_ref()) else { return };
    let (left, right) = (&parent_draft.column(p).ty, &child_draft.column(c).ty);
    if alike(left, right) {
        return;
    }
    let name = format!("{}_as_{}", child.value, left.to_string().split('(').next().unwrap_or_default());
    let message = format!("`{}` is {left}, but `{}` of {} is {right}", field.value, child.value, child_draft.of);
    let label = "types must be the same".to_string();
    let help = match cast_name(left) {
        Some(sql) => format!(
            "to `{}` add `compute: {{{name}: \"cast({} as {sql})\"}}, exclude: [{name}]` and relate `{name}`",
            document.lookups[i].label(),
            child.value
        ),
        None => "compute a column of the same type on one side and relate that".into(),
    };
    found.say(child.at, message, Some(label), Some(help));
}

/// Whether equal values of the two types have equal keys ([`crate::value::key`]).
fn alike(left: &Type, right: &Type) -> bool {
    let width = |precision: u8| match precision {
        ..=18 => 8,
        19..=38 => 16,
        _ => 32,
    };
    match (left, right) {
        (Type::Decimal { precision: a, scale: s }, Type::Decimal { precision: b, scale: t }) => width(*a) == width(*b) && s == t,
        (Type::DateTime { .. }, Type::DateTime { .. })
        | (Type::Timestamp { .. }, Type::Timestamp { .. })
        | (Type::Time { .. }, Type::Time { .. }) => true,
        _ => left == right,
    }
}

/// The type's name in SQL; `None` if a cast to it cannot be written.
fn cast_name(ty: &Type) -> Option<String> {
    Some(match ty {
        Type::Int8 => "tinyint".into(),
        Type::Int16 => "smallint".into(),
        Type::Int32 => "int".into(),
        Type::Int64 => "bigint".into(),
        Type::UInt8 => "tinyint unsigned".into(),
        Type::UInt16 => "smallint unsigned".into(),
        Type::UInt32 => "int unsigned".into(),
        Type::UInt64 => "bigint unsigned".into(),
        Type::Float32 => "float".into(),
        Type::Float64 => "double".into(),
        Type::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        Type::Text => "varchar".into(),
        Type::Date => "date".into(),
        Type::Bool => "boolean".into(),
        Type::DateTime { .. } => "timestamp".into(),
        Type::Timestamp { .. } | Type::Time { .. } | Type::Binary | Type::Json | Type::Struct(_) | Type::List(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_alike_only_where_their_keys_are() {
        let decimal = |precision, scale| Type::Decimal { precision, scale };
        assert!(alike(&decimal(10, 2), &decimal(12, 2)));
        assert!(!alike(&decimal(10, 2), &decimal(20, 2)));
        assert!(!alike(&decimal(10, 2), &decimal(10, 3)));
        assert!(alike(&Type::DateTime { fsp: 0 }, &Type::DateTime { fsp: 6 }));
        assert!(!alike(&Type::Int32, &Type::Int64));
        assert!(!alike(&Type::Int64, &Type::UInt64));
        assert!(!alike(&Type::Text, &Type::Json));
    }
}
