//! What a source tells about all its tables at once, for `tidemill draft`: what they hold, and how they refer to each other.

use crate::value::Type;

/// The tables of a source, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    pub tables: Vec<SurveyedTable>,
}

/// A table, as far as a spec is concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SurveyedTable {
    /// The name that a spec uses, without the source's name before it.
    pub name: String,
    /// The name in the source's own parts: the database and the table. Tables with the same parts before the last belong together.
    pub path: Vec<String>,
    /// Why it cannot be captured, as the rest of a sentence that begins with its name: "is not a table but a view". It then has no columns.
    pub unusable: Option<String>,
    pub rows: Option<RowCount>,
    pub columns: Vec<SurveyedColumn>,
    /// Indexes of the primary key columns, in key order; empty if there is no primary key.
    pub key: Vec<usize>,
    /// The other sets of columns that are unique. Rows with NULL in one of them may repeat.
    pub unique: Vec<Vec<usize>>,
    pub references: Vec<SurveyedKey>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedColumn {
    pub name: String,
    pub ty: Type,
    pub nullable: bool,
    /// The name of its type in the source's own words: `longblob`.
    pub declared: String,
    /// The largest length of a value, in characters or bytes; `None` for types of a few bytes.
    pub length: Option<u64>,
}

/// A foreign key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedKey {
    pub name: String,
    /// Indexes of the columns that refer.
    pub columns: Vec<usize>,
    /// The name of the table that they refer to. It is not in the survey if the user may not see it.
    pub table: String,
    /// The columns that they refer to, one for each of `columns`.
    pub of_table: Vec<String>,
}

/// How many rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCount {
    pub rows: u64,
    /// Whether the rows were counted; otherwise the number is an estimate.
    pub exact: bool,
}

/// Asks whether the values of columns of one table, the child, are in columns of another, the parent. The parent's columns are unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueQuestion {
    /// [`SurveyedTable::path`].
    pub child: Vec<String>,
    pub parent: Vec<String>,
    /// The columns of the child, each with the one of the parent.
    pub columns: Vec<(SurveyedColumn, SurveyedColumn)>,
}

/// The answer, from a bounded number of rows. 0 and empty texts, which often mean "none", are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ValueSample {
    /// The different values that were looked at.
    pub values: u64,
    /// How many of them the parent has.
    pub found: u64,
    /// How many more the parent has in another letter case.
    pub alike: u64,
}

impl Survey {
    /// Marks a table as one that cannot be captured. `why` is the rest of a sentence that begins with its name.
    pub fn leave_out(&mut self, table: usize, why: String) {
        let SurveyedTable { name, path, .. } = std::mem::take(&mut self.tables[table]);
        self.tables[table] = SurveyedTable { name, path, unusable: Some(why), ..SurveyedTable::default() };
    }

    /// The index of the table with this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|table| table.name == name)
    }
}
