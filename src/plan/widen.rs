//! Merges the arrangements of all joins that look up the same rows of a table by the same key, into one with all columns that any of them
//! reads.
//!
//! In: the arrangements that each place asks for. Out: fewer arrangements, and for each one asked for the one that serves it. If an
//! arrangement has more columns than a join reads, the join gets the places of its columns ([`Join::over`](super::Join::over)).
//! Arrangements that documents read are not changed; they serve joins if they have all columns that the joins read. Computed columns are
//! not shared in this way: a row whose computation fails is missing.

use super::arrangement::{Arrangement, ArrangementKind};
use super::arrangements::{Arrangements, LookupArrangements, Up, ViewArrangements};
use super::plain::Plain;
use super::{Input, InputColumn, Node, PlanTable, Side, TableRows};

impl Arrangements {
    /// Merges the arrangements of joins by the same key of the same rows of a table.
    pub(super) fn widened(mut self, tables: &[PlanTable]) -> Arrangements {
        let documents = self.of_documents();
        let asked = std::mem::take(&mut self.list);
        // For each arrangement asked for, its index in the new list.
        let mut places: Vec<Option<usize>> = vec![None; asked.len()];
        for (index, one) in asked.iter().enumerate() {
            if places[index].is_some() {
                continue;
            }
            let alike: Vec<usize> = match Plain::from_arrangement(one).filter(|_| !documents[index]) {
                Some(plain) => {
                    let is_like = |&other: &usize| Plain::from_arrangement(&asked[other]).is_some_and(|other| plain.is_like(&other));
                    (0..asked.len()).filter(is_like).collect()
                }
                None => vec![index],
            };
            let (of_documents, of_joins): (Vec<usize>, Vec<usize>) = alike.into_iter().partition(|&other| documents[other]);
            if of_joins.len() <= 1 && of_documents.is_empty() {
                places[index] = Some(self.list.len());
                self.list.push(one.clone());
                continue;
            }
            let wide = if documents[index] { one.clone() } else { widest(&asked, &of_joins, tables) };
            let read = Plain::from_arrangement(&wide).map(|wide| wide.columns);
            let serves = |&&other: &&usize| {
                read.as_ref().zip(Plain::from_arrangement(&asked[other])).is_some_and(|(read, other)| other.has_all_of(read))
            };
            let place = match of_documents.iter().find(serves).filter(|_| !documents[index]) {
                Some(&document) => *places[document].get_or_insert_with(|| {
                    self.list.push(asked[document].clone());
                    self.list.len() - 1
                }),
                None => {
                    self.list.push(wide);
                    self.list.len() - 1
                }
            };
            let served = if documents[index] { &of_documents } else { &of_joins };
            served.iter().for_each(|&other| places[other] = Some(place));
        }
        let places: Vec<usize> = places.into_iter().map(|place| place.expect("each has got one")).collect();
        for (asked, &place) in asked.into_iter().zip(&places) {
            if let ArrangementKind::Rows { key } = asked.kind {
                self.sides.push((Side { node: asked.input.rows, key }, place));
            }
        }
        self.views.iter_mut().for_each(|view| view.moved(&places));
        self
    }

    /// For each arrangement of the list, whether a document reads it.
    fn of_documents(&self) -> Vec<bool> {
        fn mark(lookups: &[LookupArrangements], read: &mut [bool]) {
            for lookup in lookups {
                read[lookup.rows] = true;
                if let Up::Index(index) = lookup.up {
                    read[index] = true;
                }
                mark(&lookup.children, read);
            }
        }
        let mut read = vec![false; self.list.len()];
        for view in &self.views {
            if let ViewArrangements::Document(document) = view {
                read[document.root] = true;
                mark(&document.lookups, &mut read);
            }
        }
        read
    }
}

/// An arrangement with all columns of these.
fn widest(asked: &[Arrangement], alike: &[usize], tables: &[PlanTable]) -> Arrangement {
    let all: Vec<Plain> = alike.iter().filter_map(|&index| Plain::from_arrangement(&asked[index])).collect();
    if all.iter().all(|other| all[0].has_all_of(&other.columns)) {
        return asked[alike[0]].clone();
    }
    let mut columns: Vec<usize> = all.iter().flat_map(|plain| plain.columns.iter().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    let Plain { table, filter, key, .. } = &all[0];
    let key = key.iter().map(|column| columns.binary_search(column).expect("each has its key")).collect();
    let rows = TableRows {
        table: *table,
        filter: (*filter).clone(),
        schema: tables[*table].schema.project(&columns),
        columns: columns.into_iter().map(InputColumn::Column).collect(),
    };
    let input = Input { visible: rows.schema.len(), rows: Node::Table(rows), ..asked[alike[0]].input.clone() };
    Arrangement { input, kind: ArrangementKind::Rows { key } }
}

impl ViewArrangements {
    fn moved(&mut self, places: &[usize]) {
        fn move_all(lookups: &mut [LookupArrangements], places: &[usize]) {
            for lookup in lookups {
                lookup.rows = places[lookup.rows];
                if let Up::Index(index) = &mut lookup.up {
                    *index = places[*index];
                }
                move_all(&mut lookup.children, places);
            }
        }
        if let ViewArrangements::Document(document) = self {
            document.root = places[document.root];
            move_all(&mut document.lookups, places);
        }
        self.joined().iter_mut().for_each(|index| *index = places[*index]);
    }
}
