//! What is staged of each source, as on disk: the inputs with their notes, the position, and the rejected records.

use std::collections::BTreeMap;
use std::path::Path;

use fjall::{Keyspace, OwnedWriteBatch};
use serde::{Deserialize, Serialize};

use crate::value::Position;

use super::catalog::{InputDef, InputRecord};
use super::error::{AtFolder, StoreError, damaged};
use super::rejected::Rejections;
use super::space_names::{rows_name, touched_name};
use super::{Store, Writer};

/// One input that is collected, and the source's note of how far it is.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedInput {
    pub def: InputDef,
    pub progress: Option<String>,
}

/// What is collected of one source, as of the last save.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedState {
    pub inputs: Vec<StagedInput>,
    /// Up to here changes have been applied; `None` before the first save.
    pub position: Option<Position>,
    /// Whether the rows are exactly those of `position`, so that they can be taken.
    pub exact: bool,
}

/// What is staged of every source, as on disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Staged {
    pub(super) sources: BTreeMap<String, StagedSource>,
    /// The number of the [`Staging`](super::Staging) that may write, by source.
    pub(super) turns: BTreeMap<String, u64>,
    last_turn: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct StagedSource {
    pub(super) inputs: Vec<StagedRecord>,
    pub(super) position: Option<Position>,
    pub(super) exact: bool,
    pub(super) rejections: Rejections,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StagedRecord {
    #[serde(flatten)]
    pub(super) input: InputRecord,
    pub(super) progress: Option<String>,
}

impl Writer {
    /// Staged inputs that are defined must stay as they are until the commit.
    pub(super) fn refuse_if_taken(&self, source: &str) -> Result<(), StoreError> {
        let mut ids = self.staged.sources.get(source).into_iter().flat_map(StagedSource::ids);
        match !self.load_given_up && ids.any(|id| self.catalog.has_input(id)) {
            true => Err(StoreError::Contract(format!("what is staged of `{source}` changes before the commit that takes it"))),
            false => Ok(()),
        }
    }

    /// What is staged of a source, for the [`Staging`](super::Staging) whose turn it is.
    pub(super) fn staged_in_turn(&self, source: &str, turn: u64) -> Result<&StagedSource, StoreError> {
        self.refuse_if_taken(source)?;
        let staged = self.staged.sources.get(source).filter(|_| self.staged.turns.get(source) == Some(&turn));
        staged.ok_or_else(|| StoreError::Contract(format!("what was staged of `{source}` is taken, dropped or staged anew")))
    }
}

impl Staged {
    pub(super) fn read(meta: &Keyspace, dir: &Path) -> Result<Staged, StoreError> {
        let mut staged = Staged::default();
        for guard in meta.prefix(STAGED) {
            let (key, value) = guard.into_inner().at(dir)?;
            let source = std::str::from_utf8(&key[STAGED.len()..]).map_err(|_| damaged(dir, "the name of a staged source is not text"))?;
            let of_source =
                serde_json::from_slice(&value).map_err(|e| damaged(dir, format!("what is staged of `{source}` cannot be read: {e}")))?;
            staged.sources.insert(source.into(), of_source);
        }
        Ok(staged)
    }

    /// The names of the key spaces of all staged inputs.
    pub(super) fn space_names(&self) -> impl Iterator<Item = String> {
        let ids = self.sources.values().flat_map(StagedSource::ids);
        ids.flat_map(|id| [rows_name(id), touched_name(id)])
    }

    /// The staged input of this definition, whose rows must be exact.
    pub(super) fn exact(&self, def: &InputDef) -> Result<&InputRecord, StoreError> {
        let mut exact = self.sources.values().filter(|staged| staged.exact).flat_map(|staged| &staged.inputs);
        let found = exact.find(|record| record.input.def() == *def);
        let found = found.ok_or_else(|| StoreError::Contract(format!("`{}` has no exact staged rows of this definition", def.name)));
        Ok(&found?.input)
    }

    pub(super) fn put(&mut self, source: &str, staged: StagedSource) {
        match staged.inputs.is_empty() {
            true => self.sources.remove(source),
            false => self.sources.insert(source.into(), staged),
        };
    }

    pub(super) fn next_turn(&mut self, source: &str) -> u64 {
        self.last_turn += 1;
        self.turns.insert(source.into(), self.last_turn);
        self.last_turn
    }
}

impl StagedSource {
    pub(super) fn ids(&self) -> impl Iterator<Item = u32> {
        self.inputs.iter().map(|record| record.input.id)
    }

    pub(super) fn state(&self) -> StagedState {
        let input = |record: &StagedRecord| StagedInput { def: record.input.def(), progress: record.progress.clone() };
        StagedState { inputs: self.inputs.iter().map(input).collect(), position: self.position.clone(), exact: self.exact }
    }

    /// The same with these inputs; those of another definition begin anew. Without a position all do: nobody knows which changes are missing.
    pub(super) fn with_inputs(&self, source: &str, inputs: &[InputDef], next_id: &mut u32) -> StagedSource {
        let mut next = StagedSource { inputs: Vec::with_capacity(inputs.len()), ..self.clone() };
        for def in inputs {
            if let Some(held) = self.inputs.iter().find(|record| self.position.is_some() && record.input.def() == *def) {
                next.inputs.push(held.clone());
                continue;
            }
            *next_id += 1;
            next.inputs.push(StagedRecord { input: InputRecord::of(*next_id, def), progress: None });
            next.exact = false;
        }
        let stays = |record: &&StagedRecord| next.inputs.iter().any(|other| other.input.id == record.input.id);
        if !self.inputs.iter().any(|record| stays(&record)) {
            return StagedSource { inputs: next.inputs, ..StagedSource::default() };
        }
        for gone in self.inputs.iter().filter(|record| !stays(record)) {
            let table = gone.input.name.strip_prefix(source).and_then(|rest| rest.strip_prefix('.'));
            next.rejections.forget(table.unwrap_or(&gone.input.name));
        }
        next
    }

    /// Writes the record, or removes it if nothing is staged.
    pub(super) fn write(&self, store: &Store, batch: &mut OwnedWriteBatch, source: &str) {
        let key = format!("{STAGED}{source}");
        match self.inputs.is_empty() {
            true => batch.remove(&store.0.meta, key),
            false => batch.insert(&store.0.meta, key, serde_json::to_vec(self).expect("schemas and texts are JSON")),
        }
    }
}

pub(super) const STAGED: &str = "g";
