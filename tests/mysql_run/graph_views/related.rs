//! The tables of a graph that views read, and which of their columns may be joined.

use crate::graphs::{Column, ForeignKey, Graph, INT};
use crate::random::Random;

pub(super) struct Related {
    pub(super) tables: Vec<ViewedTable>,
    /// At least one.
    relations: Vec<Relation>,
}

pub(super) struct ViewedTable {
    pub(super) name: String,
    pub(super) key: Vec<Column>,
    /// All columns, also those of the key. One of them is the number `v`.
    pub(super) columns: Vec<Column>,
}

/// Columns of two tables that are to be equal. The tables are numbers in [`Related::tables`].
#[derive(Clone)]
pub(super) struct Relation {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) pairs: Vec<(Column, Column)>,
}

impl Related {
    pub(super) fn random(graph: &Graph, random: &mut Random) -> Related {
        let mut captured: Vec<usize> = (0..graph.tables.len()).collect();
        random.shuffle(&mut captured);
        if random.percent(60) {
            captured.truncate(1 + random.below(graph.tables.len()));
        }
        let tables: Vec<ViewedTable> = captured.iter().map(|table| ViewedTable::new(graph, *table)).collect();
        let mut relations = along_keys(graph, &captured);
        relations.extend((0..2).map(|_| of_any_columns(&tables, random)));
        let backwards: Vec<Relation> = relations.iter().map(Relation::backwards).collect();
        relations.extend(backwards);
        Related { tables, relations }
    }

    pub(super) fn table(&self, random: &mut Random) -> &ViewedTable {
        random.pick(&self.tables)
    }

    pub(super) fn relation(&self, random: &mut Random) -> &Relation {
        random.pick(&self.relations)
    }

    pub(super) fn relation_from(&self, table: usize, random: &mut Random) -> Option<&Relation> {
        let relations: Vec<&Relation> = self.relations.iter().filter(|relation| relation.from == table).collect();
        (!relations.is_empty()).then(|| *random.pick(&relations))
    }

    /// From a table to itself, over one number each.
    pub(super) fn relation_to_itself(&self, random: &mut Random) -> Option<&Relation> {
        let is_number = |relation: &&Relation| relation.pairs.len() == 1 && relation.pairs[0].0.ty == INT;
        let relations: Vec<&Relation> = self.relations.iter().filter(|r| r.from == r.to).filter(is_number).collect();
        (!relations.is_empty()).then(|| *random.pick(&relations))
    }
}

impl ViewedTable {
    fn new(graph: &Graph, table: usize) -> ViewedTable {
        let table = &graph.tables[table];
        let v = Column { name: "v".into(), ty: INT };
        let columns = [&table.key[..], std::slice::from_ref(&table.unique), &[v], &table.refers].concat();
        ViewedTable { name: table.name.clone(), key: table.key.clone(), columns }
    }
}

impl Relation {
    fn backwards(&self) -> Relation {
        let pairs = self.pairs.iter().map(|(own, other)| (other.clone(), own.clone())).collect();
        Relation { from: self.to, to: self.from, pairs }
    }
}

/// From the tables that refer.
fn along_keys(graph: &Graph, captured: &[usize]) -> Vec<Relation> {
    let number = |table: usize| captured.iter().position(|captured| *captured == table);
    let relation = |key: &ForeignKey| {
        let pairs = key.columns.iter().cloned().zip(key.referenced.iter().cloned()).collect();
        Some(Relation { from: number(key.child)?, to: number(key.parent)?, pairs })
    };
    graph.keys.iter().filter_map(relation).collect()
}

fn of_any_columns(tables: &[ViewedTable], random: &mut Random) -> Relation {
    let (from, to) = (random.below(tables.len()), random.below(tables.len()));
    let own = random.pick(&tables[from].columns);
    let others: Vec<&Column> = tables[to].columns.iter().filter(|column| column.ty == own.ty).collect();
    let v = Column { name: "v".into(), ty: INT };
    let pair = if others.is_empty() { (v.clone(), v) } else { (own.clone(), (*random.pick(&others)).clone()) };
    Relation { from, to, pairs: vec![pair] }
}
