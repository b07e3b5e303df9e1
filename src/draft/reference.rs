//! That rows of one table name rows of another: by which columns, why that is assumed, and whether the data agrees.

use crate::sources::{Survey, SurveyedColumn, SurveyedTable, ValueSample};
use crate::value::Type;

/// Columns of one table, the child, that name a row of another, the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub child: usize,
    pub child_columns: Vec<usize>,
    pub parent: usize,
    pub parent_columns: Vec<usize>,
    pub evidence: Evidence,
    pub checked: Checked,
}

/// Why tables are taken to refer to each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// A foreign key of this name.
    Key(String),
    /// Their names.
    Guess,
}

/// Whether a sample of the data was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    NotYet,
    Unreadable,
    Sample(ValueSample),
}

/// A guess with fewer of its sampled values in the parent, in percent, does not stand.
const FOUND_PERCENT: u64 = 90;

impl Reference {
    /// Whether the data does not contradict it.
    pub(super) fn stands(&self) -> bool {
        match (&self.evidence, self.checked) {
            (Evidence::Key(_), _) | (Evidence::Guess, Checked::NotYet | Checked::Unreadable) => true,
            (Evidence::Guess, Checked::Sample(ValueSample { values, found, alike })) => {
                values == 0 || found > 0 && (found + alike) * 100 >= values * FOUND_PERCENT
            }
        }
    }

    /// Whether a sample of the data would tell something: about every guess, and about text, which the source may compare otherwise than
    /// byte by byte.
    pub(super) fn is_worth_a_sample(&self, survey: &Survey) -> bool {
        let columns = &survey.tables[self.child].columns;
        let is_text = || self.child_columns.iter().any(|&column| columns[column].ty == Type::Text);
        self.checked == Checked::NotYet && (self.evidence == Evidence::Guess || is_text())
    }

    /// Whether at most one row of the child names a row of the parent.
    pub(super) fn is_one_to_one(&self, survey: &Survey) -> bool {
        survey.tables[self.child].is_unique(&self.child_columns)
    }

    /// `orders.customer_id = customers.id`
    pub(super) fn shown(&self, survey: &Survey) -> String {
        let (child, parent) = (&survey.tables[self.child], &survey.tables[self.parent]);
        let pair =
            |(&c, &p): (&usize, &usize)| format!("{}.{} = {}.{}", child.name, child.columns[c].name, parent.name, parent.columns[p].name);
        self.child_columns.iter().zip(&self.parent_columns).map(pair).collect::<Vec<_>>().join(" and ")
    }
}

impl SurveyedTable {
    /// A key of the table that has a value in every row: the primary key, or else another unique one. Empty if there is none.
    pub(super) fn sure_key(&self) -> &[usize] {
        let is_sure = |key: &&Vec<usize>| key.iter().all(|&column| !self.columns[column].nullable);
        if self.key.is_empty() { self.unique.iter().find(is_sure).map_or(&[], Vec::as_slice) } else { &self.key }
    }

    /// Whether a key of the table consists of some of these columns. NULL, which a unique key may have several times, refers to nothing.
    pub(super) fn is_unique(&self, columns: &[usize]) -> bool {
        let mut keys = self.unique.iter().chain(std::iter::once(&self.key)).filter(|key| !key.is_empty());
        keys.any(|key| key.iter().all(|column| columns.contains(column)))
    }
}

/// The names of some columns.
pub(super) fn names(table: &SurveyedTable, columns: &[usize]) -> String {
    columns.iter().map(|&column| table.columns[column].name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether values of the two columns can be equal after a cast that loses nothing.
pub(super) fn comparable(one: &SurveyedColumn, other: &SurveyedColumn) -> bool {
    let is_integer = |ty: &Type| {
        matches!(ty, Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::UInt8 | Type::UInt16 | Type::UInt32 | Type::UInt64)
    };
    is_integer(&one.ty) && is_integer(&other.ty) || one.ty == other.ty && matches!(one.ty, Type::Text | Type::Binary)
}
