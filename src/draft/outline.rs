//! Chooses what a document contains: a tree of tables, from the root along the references.
//!
//! From every row, the rows that it refers to become objects. From the root and from the rows of arrays, the rows that refer to it become
//! arrays (one row, an object); a row that another one refers to brings no arrays, which would repeat half of the database in each document.
//! A link table, which only relates two tables, becomes an array of the other side. No table occurs twice on a way from the root, except once below itself.

use std::collections::{BTreeSet, VecDeque};

use super::columns::{TypeRelation, relation_of};
use super::fields::FieldNames;
use super::links::other_side;
use super::reference::{Checked, Evidence};
use super::references::References;
use super::tree::{Branch, BranchForm, Outline};
use crate::sources::Survey;

/// A document has at most this many lookups.
const MAX_LOOKUPS: usize = 40;
/// How many of the tables without room are named.
const MAX_NAMED: usize = 20;
/// Arrays with more elements on average are left out.
pub(super) const MAX_ELEMENTS: u64 = 1000;

/// Chooses the documents of `root`. `depth`: how many lookups may follow each other.
pub fn outline(survey: &Survey, references: &References, root: usize, depth: usize) -> Outline {
    let mut chooser = Chooser {
        survey,
        references,
        standing: references.standing(),
        fields: FieldNames::new(survey),
        out: Outline { branches: Vec::new(), left_out: Vec::new(), beyond: BTreeSet::new(), depth, considered: BTreeSet::new() },
        cut: Vec::new(),
    };
    chooser.out.branches.push(Branch {
        table: root,
        parent: None,
        form: BranchForm::Root,
        reference: None,
        path: Vec::new(),
        on: Vec::new(),
        depth: 0,
        off: None,
    });
    chooser.fields.add_root(root);
    let mut next = VecDeque::from([0]);
    while let Some(branch) = next.pop_front() {
        next.extend(chooser.grow(branch));
    }
    chooser.tell_broken();
    chooser.tell_cut();
    chooser.out
}

/// A branch to be added below another.
struct NewBranch {
    form: BranchForm,
    table: usize,
    reference: usize,
    /// The name of its field; a flattened table has none.
    field: Option<String>,
    on: Vec<(usize, usize)>,
    off: Option<String>,
}

struct Chooser<'a> {
    survey: &'a Survey,
    references: &'a References,
    standing: Vec<usize>,
    fields: FieldNames<'a>,
    out: Outline,
    /// Tables for which there was no room.
    cut: Vec<String>,
}

impl Chooser<'_> {
    /// Adds what belongs below a branch. Returns the new branches that may grow themselves.
    fn grow(&mut self, at: usize) -> Vec<usize> {
        let branch = self.out.branches[at].clone();
        let mut grown = Vec::new();
        for index in self.standing.clone() {
            let reference = &self.references.list[index];
            if reference.child == branch.table && !self.came_up(&branch, index) && self.joins(index) {
                grown.extend(self.up(at, &branch, index));
            }
        }
        for index in self.standing.clone() {
            let reference = &self.references.list[index];
            let came_by = branch.reference == Some(index) && reference.child != reference.parent;
            if reference.parent == branch.table && !came_by && self.may_bring(&branch, index) && self.joins(index) {
                grown.extend(self.down(at, &branch, index));
            }
        }
        self.tell_refuted(branch.table);
        grown
    }

    /// Whether the branch is below the table that this reference leads to, so that it would only lead back.
    fn came_up(&self, branch: &Branch, index: usize) -> bool {
        branch.reference == Some(index) && matches!(branch.form, BranchForm::Array | BranchForm::Only)
    }

    /// Whether the rows that refer to the branch may be embedded. Below an object, only a single row may.
    fn may_bring(&self, branch: &Branch, index: usize) -> bool {
        match branch.form {
            BranchForm::Root | BranchForm::Array | BranchForm::Only => true,
            BranchForm::Object => {
                let reference = &self.references.list[index];
                reference.is_one_to_one(self.survey) && reference.child != reference.parent
            }
            BranchForm::Links | BranchForm::OtherSide => false,
        }
    }

    /// The row that the branch refers to.
    fn up(&mut self, at: usize, branch: &Branch, index: usize) -> Option<usize> {
        let reference = &self.references.list[index];
        let is_self = reference.parent == branch.table;
        if self.is_beyond(branch, reference.parent) {
            return None;
        }
        self.out.considered.insert(index);
        if !is_self && self.is_around(at, reference.parent) {
            let name = &self.survey.tables[reference.parent].name;
            self.leave_out(index, &format!("it leads back to `{name}`, which is around it"));
            return None;
        }
        let on = reference.child_columns.iter().copied().zip(reference.parent_columns.iter().copied()).collect();
        let field = self.fields.object(at, self.references, &self.standing, index);
        let table = reference.parent;
        let new = self.add(at, NewBranch { form: BranchForm::Object, table, reference: index, field, on, off: None })?;
        if is_self {
            self.leave_out(index, "further than one level: the table refers to itself");
            return None;
        }
        Some(new)
    }

    /// The rows that refer to the branch, or what they link it with.
    fn down(&mut self, at: usize, branch: &Branch, index: usize) -> Option<usize> {
        let reference = &self.references.list[index];
        let is_self = reference.child == branch.table;
        let link = other_side(self.survey, self.references, &self.standing, index);
        if self.is_beyond(branch, link.map_or(reference.child, |other| self.references.list[other].parent)) {
            return None;
        }
        self.out.considered.insert(index);
        if !is_self && self.is_around(at, reference.child) {
            self.leave_out(index, &format!("`{}` is around it already", self.survey.tables[reference.child].name));
            return None;
        }
        if is_self && branch.form != BranchForm::Root {
            return None;
        }
        let on = reference.parent_columns.iter().copied().zip(reference.child_columns.iter().copied()).collect();
        let off = self.too_many(reference.child);
        if let Some(other) = link {
            return self.link(at, index, other, on, off);
        }
        let only = reference.is_one_to_one(self.survey);
        let form = if only { BranchForm::Only } else { BranchForm::Array };
        let field = self.fields.children(at, self.references, &self.standing, index);
        let is_off = off.is_some();
        let new = self.add(at, NewBranch { form, table: reference.child, reference: index, field, on, off })?;
        if is_self {
            self.leave_out(index, "further than one level: the table refers to itself");
        }
        (!is_self && !is_off).then_some(new)
    }

    /// The array of what a link table relates the branch with. It does not grow: a lookup cannot be put into flattened columns.
    fn link(&mut self, at: usize, index: usize, other: usize, on: Vec<(usize, usize)>, off: Option<String>) -> Option<usize> {
        let (link, far) = (&self.references.list[index], &self.references.list[other]);
        self.out.considered.insert(other);
        if far.parent != self.out.branches[at].table && self.is_around(at, far.parent) {
            self.leave_out(other, &format!("`{}` is around it already", self.survey.tables[far.parent].name));
            return None;
        }
        let field = self.fields.others(at, link, far);
        let links = NewBranch { form: BranchForm::Links, table: link.child, reference: index, field, on, off: off.clone() };
        let links = self.add(at, links)?;
        let on = far.child_columns.iter().copied().zip(far.parent_columns.iter().copied()).collect();
        let (form, table) = (BranchForm::OtherSide, far.parent);
        self.add(links, NewBranch { form, table, reference: other, field: None, on, off });
        None
    }

    /// Adds a lookup, unless there are too many. Returns its index.
    fn add(&mut self, parent: usize, new: NewBranch) -> Option<usize> {
        let NewBranch { form, table, reference, field, on, off } = new;
        if self.out.branches.len() > MAX_LOOKUPS && form != BranchForm::OtherSide {
            self.cut.push(self.survey.tables[table].name.clone());
            return None;
        }
        let above = &self.out.branches[parent];
        let path = above.path.iter().cloned().chain(field).collect();
        let depth = above.depth + usize::from(form != BranchForm::OtherSide);
        self.out.branches.push(Branch { table, parent: Some(parent), form, reference: Some(reference), path, on, depth, off });
        self.fields.add(table);
        Some(self.out.branches.len() - 1)
    }

    /// Whether the types of the columns let them be compared; otherwise tells so.
    fn joins(&mut self, index: usize) -> bool {
        let reference = &self.references.list[index];
        let (child, parent) = (&self.survey.tables[reference.child], &self.survey.tables[reference.parent]);
        let mut pairs = reference.child_columns.iter().zip(&reference.parent_columns);
        let unlike = pairs.any(|(&c, &p)| relation_of(&child.columns[c].ty, &parent.columns[p].ty) == TypeRelation::Unlike);
        if unlike {
            self.leave_out(index, "the columns have different types");
        }
        !unlike
    }

    fn is_beyond(&mut self, branch: &Branch, table: usize) -> bool {
        let beyond = branch.depth >= self.out.depth;
        if beyond && !self.out.branches.iter().any(|other| other.table == table) {
            self.out.beyond.insert(self.survey.tables[table].name.clone());
        }
        beyond
    }

    /// Whether the table is on the way from the root to this branch, the branch included.
    fn is_around(&self, at: usize, table: usize) -> bool {
        let mut around = Some(at);
        while let Some(branch) = around.map(|at| &self.out.branches[at]) {
            if branch.table == table {
                return true;
            }
            around = branch.parent;
        }
        false
    }

    /// Why an array of this table's rows would be too long.
    fn too_many(&self, table: usize) -> Option<String> {
        let root = self.survey.tables[self.out.branches[0].table].rows?.rows.max(1);
        let each = self.survey.tables[table].rows?.rows / root;
        (each > MAX_ELEMENTS).then(|| format!("not embedded: about {each} rows for each document"))
    }

    fn leave_out(&mut self, index: usize, why: &str) {
        let line = format!("{}: {why}", self.references.list[index].shown(self.survey));
        if !self.out.left_out.contains(&line) {
            self.out.left_out.push(line);
        }
    }

    /// Tells of the guesses for this table's columns that the data contradicts.
    fn tell_refuted(&mut self, table: usize) {
        for (index, reference) in self.references.list.iter().enumerate() {
            if reference.child == table && reference.evidence == Evidence::Guess && !reference.stands() {
                let Checked::Sample(sample) = reference.checked else { continue };
                let of = format!("{} of {} sampled values are there", sample.found, sample.values);
                self.leave_out(index, &format!("their names suggest it, but only {of}"));
            }
        }
    }

    fn tell_broken(&mut self) {
        let tables: BTreeSet<usize> = self.out.branches.iter().map(|branch| branch.table).collect();
        for (child, why) in self.references.broken.iter().filter(|(child, _)| tables.contains(child)) {
            self.out.left_out.push(format!("`{}`: the foreign key {why}", self.survey.tables[*child].name));
        }
    }

    fn tell_cut(&mut self) {
        self.cut.sort();
        self.cut.dedup();
        if !self.cut.is_empty() {
            let tables = self.cut.iter().take(MAX_NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let more = self.cut.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.out.left_out.push(format!("{tables}{more}: a draft has at most {MAX_LOOKUPS} lookups"));
        }
    }
}
