//! The tree of tables that a document is made of.

use std::collections::BTreeSet;

use super::references::References;
use crate::sources::Survey;

/// What a document contains.
#[derive(Debug, Clone)]
pub struct Outline {
    /// The first is the root; parents come before their children.
    pub(super) branches: Vec<Branch>,
    /// What is not embedded, and why.
    pub(super) left_out: Vec<String>,
    /// Tables that begin beyond the depth.
    pub(super) beyond: BTreeSet<String>,
    pub(super) depth: usize,
    /// References that the choice depends on.
    pub(super) considered: BTreeSet<usize>,
}

/// A table in the tree.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub table: usize,
    pub parent: Option<usize>,
    pub form: BranchForm,
    /// The reference along which it was reached; none for the root.
    pub reference: Option<usize>,
    /// The field names from the root; those of a flattened table are its parent's.
    pub path: Vec<String>,
    /// The columns of the parent, each with the column that equals it.
    pub on: Vec<(usize, usize)>,
    /// How many lookups are between it and the root.
    pub depth: usize,
    /// Why it is written as a comment only.
    pub off: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BranchForm {
    Root,
    /// The row that the parent refers to.
    Object,
    /// The only row that refers to the parent.
    Only,
    /// The rows that refer to the parent.
    Array,
    /// The rows of a link table. Its own columns are not shown.
    Links,
    /// The other side of a link table, among the (hidden) columns of the link.
    OtherSide,
}

impl Outline {
    /// The references of the tree that a sample of the data would tell something about.
    pub fn unchecked(&self, survey: &Survey, references: &References) -> Vec<usize> {
        self.considered.iter().copied().filter(|&index| references.list[index].is_worth_a_sample(survey)).collect()
    }

    /// The indexes of all branches but the root, each followed by those below it.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let mut order = Vec::new();
        let mut next = vec![0];
        while let Some(at) = next.pop() {
            order.push(at);
            next.extend((0..self.branches.len()).rev().filter(|&below| self.branches[below].parent == Some(at)));
        }
        order.split_off(1)
    }
}
