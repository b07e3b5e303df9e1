//! Builds an [`Input`]: the shown columns are fixed first; hidden ones are added when relations, keys and orders need them.

use super::basis::{Basis, BasisRows};
use super::problems::ViewProblems;
use crate::plan::problem::{did_you_mean, listed};
use crate::plan::written::{Place, Written, WrittenColumn, WrittenInput};
use crate::plan::{Input, InputColumn, Node, Origin, Select, TableRows};
use crate::sql::Expression;
use crate::value::{Column, Schema};

/// An [`Input`] under construction.
pub(super) struct InputDraft<'a> {
    pub of: Basis<'a>,
    filter: Option<Expression>,
    columns: Vec<DraftColumn>,
    visible: usize,
    /// Computed columns that are not shown and not needed so far.
    spare: Vec<DraftColumn>,
}

#[derive(Clone)]
struct DraftColumn {
    name: String,
    at: Place,
    what: InputColumn,
    column: Column,
}

impl<'a> InputDraft<'a> {
    pub(super) fn new(written: &WrittenInput, at: Place, of: Basis<'a>, found: &mut ViewProblems) -> InputDraft<'a> {
        let filter = written.filter.as_ref().and_then(|sql| found.sql(sql, Expression::compile_filter(&sql.value, of.schema)));
        let mut draft = InputDraft { of, filter, columns: Vec::new(), visible: 0, spare: Vec::new() };
        match &written.columns {
            Some(columns) => draft.take_listed(columns, found),
            None => draft.take_all(written, at, found),
        }
        for (name, sql) in &written.compute {
            if let Some(column) = draft.computed(name, sql, found) {
                match written.exclude.iter().any(|e| e.value == name.value) {
                    true => draft.spare.push(column),
                    false => draft.columns.push(column),
                }
            }
        }
        draft.visible = draft.columns.len();
        draft.refuse_equal_names(found);
        draft
    }

    fn take_listed(&mut self, columns: &[WrittenColumn], found: &mut ViewProblems) {
        for column in columns {
            let taken = match column {
                WrittenColumn::Plain(name) => self.plain(name, name, found),
                WrittenColumn::Named { name, sql } if self.of.schema.index_of(sql.value.trim()).is_some() => {
                    self.plain(&Written::new(sql.value.trim().to_string(), sql.at), name, found)
                }
                WrittenColumn::Named { name, sql } => self.computed(name, sql, found),
            };
            self.columns.extend(taken);
        }
    }

    fn take_all(&mut self, written: &WrittenInput, at: Place, found: &mut ViewProblems) {
        for name in &written.exclude {
            let computed = written.compute.iter().any(|(computed, _)| computed.value == name.value);
            if !computed && self.of.schema.index_of(&name.value).is_none() {
                self.unknown_column(name, found);
            }
        }
        for (old, _) in &written.rename {
            if self.of.schema.index_of(&old.value).is_none() {
                self.unknown_column(old, found);
            } else if written.exclude.iter().any(|e| e.value == old.value) {
                found.say(old.at, format!("`{}` is renamed and excluded", old.value), None, Some("leave one of the two out".into()));
            }
        }
        for (i, column) in self.of.schema.columns().iter().enumerate() {
            if written.exclude.iter().any(|e| e.value == column.name) {
                continue;
            }
            let new = written.rename.iter().find(|(old, _)| old.value == column.name).map(|(_, new)| new);
            let (name, at) = new.map_or((&column.name, at), |new| (&new.value, new.at));
            self.columns.push(table_column(name.clone(), at, i, column));
        }
    }

    fn plain(&self, name: &Written<String>, shown: &Written<String>, found: &mut ViewProblems) -> Option<DraftColumn> {
        match self.of.schema.index_of(&name.value) {
            Some(i) => Some(table_column(shown.value.clone(), shown.at, i, &self.of.schema.columns()[i])),
            None => {
                self.unknown_column(name, found);
                None
            }
        }
    }

    fn computed(&self, name: &Written<String>, sql: &Written<String>, found: &mut ViewProblems) -> Option<DraftColumn> {
        let expression = found.sql(sql, Expression::compile(&sql.value, self.of.schema))?;
        let column = Column { name: name.value.clone(), ..expression.output().clone() };
        Some(DraftColumn { name: name.value.clone(), at: name.at, what: InputColumn::Computed(expression), column })
    }

    fn refuse_equal_names(&self, found: &mut ViewProblems) {
        for (i, column) in self.columns.iter().enumerate() {
            if self.columns[..i].iter().any(|other| other.name == column.name) {
                let help = "rename one of them or leave it out".to_string();
                found.say(column.at, format!("two columns have the name `{}`", column.name), None, Some(help));
            }
        }
    }

    /// Finds a column by name: a shown one, a computed one, or else one of the table under its own name. Adds it to the input if necessary.
    pub(super) fn find(&mut self, name: &str) -> Option<usize> {
        if let Some(there) = self.place(name) {
            return Some(there);
        }
        if let Some(spare) = self.spare.iter().find(|c| c.name == name) {
            self.columns.push(spare.clone());
            return Some(self.columns.len() - 1);
        }
        let column = self.of.schema.index_of(name)?;
        Some(self.table_column(column))
    }

    /// Like [`find`](InputDraft::find), but only finds columns that are in the input already.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        if let Some(shown) = self.columns[..self.visible].iter().position(|c| c.name == name) {
            return Some(shown);
        }
        let what = match self.spare.iter().find(|c| c.name == name) {
            Some(spare) => spare.what.clone(),
            None => InputColumn::Column(self.of.schema.index_of(name)?),
        };
        self.columns.iter().position(|c| c.what == what)
    }

    /// Whether [`find`](InputDraft::find) would find the column.
    pub(super) fn has(&self, name: &str) -> bool {
        self.columns[..self.visible].iter().chain(&self.spare).any(|c| c.name == name) || self.of.schema.index_of(name).is_some()
    }

    /// Like [`find`](InputDraft::find), but reports an unknown column.
    pub(super) fn need(&mut self, name: &Written<String>, found: &mut ViewProblems) -> Option<usize> {
        let column = self.find(&name.value);
        if column.is_none() {
            self.unknown_column(name, found);
        }
        column
    }

    /// The place of the table's column `column` in the input. Adds it if necessary.
    pub(super) fn table_column(&mut self, column: usize) -> usize {
        let there = self.columns.iter().position(|c| c.what == InputColumn::Column(column));
        there.unwrap_or_else(|| {
            let of_table = &self.of.schema.columns()[column];
            let mut name = of_table.name.clone();
            while self.columns.iter().any(|c| c.name == name) {
                name.push('\'');
            }
            self.columns.push(table_column(name, Place(0), column, of_table));
            self.columns.len() - 1
        })
    }

    pub(super) fn is_visible(&self, column: usize) -> bool {
        column < self.visible
    }

    pub(super) fn column(&self, index: usize) -> &Column {
        &self.columns[index].column
    }

    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn visible(&self) -> impl Iterator<Item = (&Column, Place)> {
        self.columns[..self.visible].iter().map(|c| (&c.column, c.at))
    }

    /// All columns that an expression over this input may name, under the names that [`find`](InputDraft::find) accepts.
    pub(super) fn nameable(&self) -> Schema {
        let mut columns: Vec<Column> = self.columns[..self.visible].iter().chain(&self.spare).map(|c| c.column.clone()).collect();
        for column in self.of.schema.columns() {
            if !columns.iter().any(|c| c.name == column.name) {
                columns.push(column.clone());
            }
        }
        Schema::new(columns)
    }

    pub(super) fn schema(&self) -> Schema {
        Schema::new(self.columns.iter().map(|c| c.column.clone()).collect())
    }

    /// The finished input.
    pub(super) fn finish(&self) -> Input {
        let (filter, schema) = (self.filter.clone(), self.schema());
        let columns: Vec<InputColumn> = self.columns.iter().map(|c| c.what.clone()).collect();
        let (rows, of) = match self.of.rows {
            BasisRows::Table(table) => (Node::Table(TableRows { table, filter, columns, schema }), Origin::Table(table)),
            BasisRows::Query(node, of) => {
                let select = Select { of: node.clone(), filter, columns, schema };
                let as_it_is = select.changes_nothing() && select.schema == *node.schema();
                (if as_it_is { select.of } else { Node::Select(Box::new(select)) }, of)
            }
        };
        Input { rows, visible: self.visible, of }
    }

    pub(super) fn unknown_column(&self, name: &Written<String>, found: &mut ViewProblems) {
        let nameable = self.nameable();
        let names = || nameable.columns().iter().map(|c| c.name.as_str());
        let message = format!("{} has no column `{}`", self.of, name.value);
        let label = format!("columns: {}", listed(names()));
        found.say(name.at, message, Some(label), did_you_mean(&name.value, names()));
    }
}

fn table_column(name: String, at: Place, index: usize, column: &Column) -> DraftColumn {
    DraftColumn { column: Column { name: name.clone(), ..column.clone() }, name, at, what: InputColumn::Column(index) }
}
