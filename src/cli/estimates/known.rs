//! What the sources of a spec tell about the sizes of their tables, within a time limit for all of them.

use std::time::Instant;

use crate::cli::discover::{Discovered, REACH};
use crate::estimate::{Estimate, KnownTable};
use crate::plan::{ArrangedSize, Arrangement, Plan};

/// The tables of a plan.
pub(in crate::cli) struct KnownTables {
    /// By the plan's order: the table, or why it is not known, as a sentence.
    tables: Vec<Result<KnownTable, String>>,
    /// What is not part of the sizes, each a sentence.
    pub(super) beside: Vec<String>,
}

impl KnownTables {
    /// Takes at most [`REACH`].
    pub(in crate::cli) async fn ask(discovered: &Discovered, plan: &Plan) -> KnownTables {
        let (began, sources) = (Instant::now(), discovered.sources.len() as u32);
        let not_asked = |name: String| Err(format!("{name}: its source did not answer"));
        let mut known = KnownTables { tables: plan.tables.iter().map(|table| not_asked(table.full_name())).collect(), beside: Vec::new() };
        for (number, open) in discovered.sources.iter().enumerate() {
            // Half of the time is left for what a source cannot limit itself.
            let share = REACH.saturating_sub(began.elapsed()) / (sources - number as u32);
            let answer = tokio::time::timeout(share, open.source.extents(&open.tables, Instant::now() + share / 2)).await;
            let extents = match answer {
                Ok(Ok(extents)) => extents,
                Ok(Err(error)) => {
                    known.fail(plan, &open.name, &error.to_string());
                    continue;
                }
                Err(_) => continue,
            };
            known.beside.extend(extents.beside.map(|beside| format!("source `{}`: {beside}", open.name)));
            for (table, extent) in open.tables.iter().zip(extents.tables) {
                let place = plan.tables.iter().position(|planned| planned.source == open.name && planned.name == table.name);
                let Some(place) = place else { continue };
                let name = plan.tables[place].full_name();
                let served = open.kind != "file";
                known.tables[place] = extent.map(|extent| KnownTable { extent, served }).map_err(|why| format!("{name} {why}"));
            }
        }
        known
    }

    fn fail(&mut self, plan: &Plan, source: &str, why: &str) {
        for (table, planned) in self.tables.iter_mut().zip(&plan.tables).filter(|(_, planned)| planned.source == source) {
            *table = Err(format!("{}: {why}", planned.full_name()));
        }
    }

    /// Why tables are not known.
    pub(super) fn unknown(&self) -> Vec<&str> {
        self.tables.iter().filter_map(|table| table.as_ref().err().map(String::as_str)).collect()
    }

    /// All tables; what is not known of one is left empty.
    pub(super) fn tables(&self) -> Vec<KnownTable> {
        self.tables.iter().map(|table| table.clone().unwrap_or_default()).collect()
    }

    /// The size of each arrangement of the plan, if its tables are known.
    pub(in crate::cli) fn arranged(&self, plan: &Plan) -> Vec<Option<ArrangedSize>> {
        let arrangements = plan.arrangements();
        let estimate = Estimate::new(plan, &arrangements, &self.tables());
        let is_known = |arrangement: &Arrangement| arrangement.input.rows.tables().iter().all(|rows| self.tables[rows.table].is_ok());
        let sizes = arrangements.list.iter().zip(estimate.arrangements);
        sizes.map(|(arrangement, size)| is_known(arrangement).then_some(size)).collect()
    }
}
