//! Recognises link tables: tables whose rows only say that a row of one table belongs to a row of another.

use super::references::References;
use super::words::words;
use crate::sources::{Survey, SurveyedTable};
use crate::value::Type;

/// Columns with these words say when or by whom a link was made, which is no reason to show the link itself.
const BOOKKEEPING: [&str; 10] =
    ["created", "updated", "modified", "inserted", "changed", "added", "creation", "update", "timestamp", "assigned"];

/// If the child of the reference `one` is a link table, the other of its two references.
///
/// A link table has exactly two references, a key over the columns of both or none at all, and nothing else but a number of its own and
/// times.
pub(super) fn other_side(survey: &Survey, references: &References, standing: &[usize], one: usize) -> Option<usize> {
    let reference = &references.list[one];
    let table = &survey.tables[reference.child];
    let mut all = standing.iter().copied().filter(|&index| references.list[index].child == reference.child);
    let (Some(first), Some(second), None) = (all.next(), all.next(), all.next()) else { return None };
    let other = if first == one { second } else { first };
    let both: Vec<usize> = [first, second].iter().flat_map(|&index| references.list[index].child_columns.iter().copied()).collect();
    let are_apart = both.iter().enumerate().all(|(i, column)| !both[..i].contains(column));
    let is_referred_to = standing.iter().any(|&index| references.list[index].parent == reference.child);
    let sides_are_many = ![first, second].iter().any(|&index| references.list[index].is_one_to_one(survey));
    let has_no_other_key = table.is_unique(&both) || table.key.is_empty();
    let is_link = are_apart && !is_referred_to && sides_are_many && has_no_other_key && rest_is_bookkeeping(table, &both);
    is_link.then_some(other)
}

fn rest_is_bookkeeping(table: &SurveyedTable, both: &[usize]) -> bool {
    let is_number_of_its_own = |column: usize| table.key == [column];
    let is_time = |column: usize| {
        let column = &table.columns[column];
        matches!(column.ty, Type::Date | Type::DateTime { .. } | Type::Timestamp { .. })
            && words(&column.name).iter().any(|word| BOOKKEEPING.contains(&word.as_str()))
    };
    (0..table.columns.len()).all(|column| both.contains(&column) || is_number_of_its_own(column) || is_time(column))
}
