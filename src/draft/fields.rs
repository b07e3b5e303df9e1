//! Names the fields of lookups: an object for the column that refers to it (`billing_address` for `billing_address_id`), an array for its
//! table. Names that would be taken, or would be the same for two references, get the column's name as well.

use std::collections::BTreeSet;

use super::reference::Reference;
use super::references::References;
use super::words::{singular, stem, words};
use crate::sources::{Survey, SurveyedTable};

/// The names that are taken in each branch.
pub(super) struct FieldNames<'a> {
    survey: &'a Survey,
    taken: Vec<BTreeSet<String>>,
}

impl<'a> FieldNames<'a> {
    pub(super) fn new(survey: &'a Survey) -> FieldNames<'a> {
        FieldNames { survey, taken: Vec::new() }
    }

    pub(super) fn add_root(&mut self, table: usize) {
        self.add(table);
    }

    /// A branch of this table is added: the names of its columns are taken.
    pub(super) fn add(&mut self, table: usize) {
        self.taken.push(self.survey.tables[table].columns.iter().map(|column| shown_name(&column.name)).collect());
    }

    /// The field for the row that the branch `at` refers to.
    pub(super) fn object(&mut self, at: usize, references: &References, standing: &[usize], index: usize) -> Option<String> {
        let reference = &references.list[index];
        let (child, parent) = (&self.survey.tables[reference.child], &self.survey.tables[reference.parent]);
        let one = in_singular(own_name(parent));
        let columns = columns_name(child, &reference.child_columns);
        let is_parent =
            |column: usize| reference.child == reference.parent && words(&child.columns[column].name).contains(&"parent".to_string());
        let by_column = match reference.child_columns[..] {
            [column] => stem(&child.columns[column].name).or_else(|| is_parent(column).then(|| "parent".to_string())),
            _ => None,
        };
        let by_table = is_only(references, standing, index).then(|| one.clone());
        self.free(at, by_column.into_iter().chain(by_table).chain([format!("{columns}_{one}"), format!("{one}_by_{columns}")]))
    }

    /// The field for the rows that refer to the branch `at`.
    pub(super) fn children(&mut self, at: usize, references: &References, standing: &[usize], index: usize) -> Option<String> {
        let reference = &references.list[index];
        let child = &self.survey.tables[reference.child];
        let is_one = reference.is_one_to_one(self.survey);
        let name = if is_one { in_singular(own_name(child)) } else { own_name(child).to_string() };
        let by = format!("{name}_by_{}", columns_stem(child, &reference.child_columns));
        let plain = is_only(references, standing, index) && reference.child != reference.parent;
        self.free(at, plain.then(|| name.clone()).into_iter().chain([by, format!("{name}_rows")]))
    }

    /// The field for what a link table relates the branch `at` with.
    pub(super) fn others(&mut self, at: usize, link: &Reference, far: &Reference) -> Option<String> {
        let (table, other) = (&self.survey.tables[link.child], &self.survey.tables[far.parent]);
        let stem = columns_stem(table, &far.child_columns);
        let by = format!("{}_{stem}", own_name(table));
        let is_self = link.parent == far.parent;
        let plain = (!is_self).then(|| own_name(other).to_string());
        self.free(at, plain.into_iter().chain([by, format!("{}_by_{}", own_name(other), own_name(table))]))
    }

    /// The first of these names that is not taken, which then is.
    fn free(&mut self, at: usize, names: impl Iterator<Item = String>) -> Option<String> {
        let names: Vec<String> = names.map(|name| field_name(&name)).collect();
        let last = names.last().cloned().unwrap_or_default();
        let numbered = (2..).map(|number| format!("{last}_{number}"));
        let taken = &mut self.taken[at];
        let free = names.into_iter().chain(numbered).find(|name| !taken.contains(name))?;
        taken.insert(free.clone());
        Some(free)
    }
}

/// Whether no other reference is between the same two tables in the same direction.
fn is_only(references: &References, standing: &[usize], index: usize) -> bool {
    let tables = |index: usize| (references.list[index].child, references.list[index].parent);
    standing.iter().filter(|&&other| tables(other) == tables(index)).count() == 1
}

/// The table's name without its database.
fn own_name(table: &SurveyedTable) -> &str {
    table.path.last().map_or(table.name.as_str(), String::as_str)
}

/// The name with its last word in the singular.
fn in_singular(name: &str) -> String {
    let start = name.rfind(|c: char| !c.is_alphanumeric()).map_or(0, |at| at + name[at..].chars().next().map_or(0, char::len_utf8));
    let (before, last) = name.split_at(start);
    let one = singular(&last.to_lowercase());
    match last.to_lowercase().starts_with(&one) {
        true => format!("{before}{}", last.chars().take(one.chars().count()).collect::<String>()),
        false => format!("{before}{one}"),
    }
}

fn columns_name(table: &SurveyedTable, columns: &[usize]) -> String {
    columns.iter().map(|&column| table.columns[column].name.as_str()).collect::<Vec<_>>().join("_")
}

fn columns_stem(table: &SurveyedTable, columns: &[usize]) -> String {
    let name = |&column: &usize| stem(&table.columns[column].name).unwrap_or_else(|| table.columns[column].name.clone());
    columns.iter().map(name).collect::<Vec<_>>().join("_")
}

/// The name as one field of a path: without dots, and not an operator of a target.
fn field_name(name: &str) -> String {
    let plain: String = name.trim().chars().map(|c| if c == '.' || c.is_control() { '_' } else { c }).collect();
    match plain.is_empty() || plain.starts_with('$') {
        true => format!("_{}", plain.trim_start_matches('$')),
        false => plain,
    }
}

/// The name under which a column is shown: its own, unless targets would read it as a path or an operator.
pub(super) fn shown_name(column: &str) -> String {
    if column.contains('.') || column.starts_with('$') { field_name(column) } else { column.to_string() }
}
