//! How tables refer to each other: by foreign keys, and by names where there is none.
//!
//! A guess is made of names and types (`guesses`), and stands as long as a sample of the data does not contradict it.

use std::collections::BTreeSet;

use super::guesses;
use super::reference::{Checked, Evidence, Reference, names};
use crate::sources::{Survey, SurveyedKey, ValueQuestion};

/// All references between the tables of a survey: first the foreign keys, then the guesses, the likeliest of each column first.
#[derive(Debug, Clone, Default)]
pub struct References {
    pub list: Vec<Reference>,
    /// Foreign keys that cannot be followed: the child, and why.
    pub broken: Vec<(usize, String)>,
}

impl References {
    pub fn new(survey: &Survey) -> References {
        let mut references = References::default();
        for (child, table) in survey.tables.iter().enumerate() {
            for key in &table.references {
                references.add_key(survey, child, key);
            }
        }
        let taken: BTreeSet<(usize, usize)> =
            references.list.iter().flat_map(|r| r.child_columns.iter().map(|&column| (r.child, column))).collect();
        references.list.extend(guesses::guesses(survey, &taken));
        references
    }

    fn add_key(&mut self, survey: &Survey, child: usize, key: &SurveyedKey) {
        let table = &survey.tables[child];
        if table.unusable.is_some() {
            return;
        }
        let what = format!("`{}` ({}) refers to `{}`", key.name, names(table, &key.columns), key.table);
        let Some(parent) = survey.index_of(&key.table) else {
            self.broken.push((child, format!("{what}, which this user may not see: GRANT SELECT on it, and draft again")));
            return;
        };
        let of = &survey.tables[parent];
        if let Some(why) = &of.unusable {
            self.broken.push((child, format!("{what}, which {why}")));
            return;
        }
        let columns: Option<Vec<usize>> = key.of_table.iter().map(|name| of.columns.iter().position(|c| c.name == *name)).collect();
        let Some(parent_columns) = columns else {
            self.broken.push((child, format!("{what}, whose columns this user may not see: GRANT SELECT on the whole table")));
            return;
        };
        let evidence = Evidence::Key(key.name.clone());
        let reference = Reference { child, child_columns: key.columns.clone(), parent, parent_columns, evidence, checked: Checked::NotYet };
        let is_same = |other: &Reference| {
            (other.child, &other.child_columns, other.parent, &other.parent_columns)
                == (reference.child, &reference.child_columns, reference.parent, &reference.parent_columns)
        };
        if !self.list.iter().any(is_same) {
            self.list.push(reference);
        }
    }

    /// The indexes of the references that stand: every foreign key, and of the guesses for the same columns the likeliest.
    pub fn standing(&self) -> Vec<usize> {
        let mut guessed: BTreeSet<(usize, &[usize])> = BTreeSet::new();
        let mut standing = Vec::new();
        for (index, reference) in self.list.iter().enumerate() {
            let is_first = match reference.evidence {
                Evidence::Key(_) => true,
                Evidence::Guess => reference.stands() && guessed.insert((reference.child, &reference.child_columns)),
            };
            standing.extend(is_first.then_some(index));
        }
        standing
    }

    /// The question whether the data agrees with a reference.
    pub fn question(&self, survey: &Survey, index: usize) -> ValueQuestion {
        let reference = &self.list[index];
        let (child, parent) = (&survey.tables[reference.child], &survey.tables[reference.parent]);
        let pairs = reference.child_columns.iter().zip(&reference.parent_columns);
        ValueQuestion {
            child: child.path.clone(),
            parent: parent.path.clone(),
            columns: pairs.map(|(&c, &p)| (child.columns[c].clone(), parent.columns[p].clone())).collect(),
        }
    }
}
