//! A full copy of a view: writes documents that are missing or different in the target, and at the end deletes those that are not in the view.
//! Also a comparison, which writes nothing.

use std::collections::{HashMap, HashSet};

use bson::{Bson, RawBson, RawBsonRef, RawDocumentBuf, doc};
use futures::TryStreamExt;
use xxhash_rust::xxh3::xxh3_128;

use super::bulk::{Bulk, RefusedWrite, Write};
use super::document::KeyedDocument;
use super::id::comparable;
use super::target::Target;
use crate::sinks::SinkError;

/// A running copy or comparison.
#[derive(Debug)]
pub(super) struct CopyUnderWay {
    /// The collection was empty when the copy began, and every write since was answered.
    fresh: bool,
    /// Hashes of the `_id`s that were copied or compared, of 16 bytes each, so that collisions do not occur.
    copied: HashSet<u128>,
}

impl CopyUnderWay {
    /// Starts a copy. First clears the target's position, since the target has no state of a store until the copy ends.
    pub(super) async fn begin(target: &Target) -> Result<CopyUnderWay, SinkError> {
        target.clear_position().await?;
        Ok(CopyUnderWay { fresh: !target.holds_documents().await?, copied: HashSet::new() })
    }

    pub(super) fn comparison() -> CopyUnderWay {
        CopyUnderWay { fresh: false, copied: HashSet::new() }
    }

    /// Returns the tags of the documents that are missing or different in the target.
    pub(super) async fn compare(&mut self, target: &Target, entries: &[(usize, KeyedDocument)]) -> Result<Vec<usize>, SinkError> {
        let mut different = Vec::new();
        for chunk in entries.chunks(target.limits.documents) {
            let held = held(target, chunk).await?;
            for (tag, (id, document)) in chunk {
                let hash = hash(id.as_raw_bson_ref());
                self.copied.insert(hash);
                if held.get(&hash) != Some(document) {
                    different.push(*tag);
                }
            }
        }
        Ok(different)
    }

    /// Writes documents, each with a tag. Returns those that the server refuses; older versions of them are deleted at the end, like all
    /// documents that were not copied.
    pub(super) async fn write(&mut self, target: &Target, entries: Vec<(usize, KeyedDocument)>) -> Result<Vec<RefusedWrite>, SinkError> {
        let mut hashes: HashMap<usize, u128> = entries.iter().map(|(tag, (id, _))| (*tag, hash(id.as_raw_bson_ref()))).collect();
        let refused = if self.fresh {
            // If this call fails, the collection may no longer be empty.
            self.fresh = false;
            let mut bulk = Bulk::new(target, entries.len(), None);
            for (tag, (_, document)) in entries {
                bulk.push(tag, Write::New { document }).await.map_err(|failed| failed.error)?;
            }
            let refused = bulk.finish().await.map_err(|failed| failed.error)?.refused;
            self.fresh = true;
            refused
        } else {
            write_differing(target, entries).await?
        };
        for refused in &refused {
            hashes.remove(&refused.tag);
        }
        self.copied.extend(hashes.into_values());
        Ok(refused)
    }

    /// Deletes every document that was not copied.
    pub(super) async fn delete_others(&self, target: &Target) -> Result<(), SinkError> {
        let others = if self.fresh { Vec::new() } else { self.others(target).await? };
        let mut bulk = Bulk::new(target, others.len(), None);
        for id in others {
            bulk.push(0, Write::Delete { id }).await.map_err(|failed| failed.error)?;
        }
        bulk.finish().await.map(drop).map_err(|failed| failed.error)
    }

    /// The `_id`s of the documents that were neither copied nor compared.
    pub(super) async fn others(&self, target: &Target) -> Result<Vec<RawBson>, SinkError> {
        let ids = target.documents().find(doc! {}).projection(doc! {"_id": 1}).batch_size(10_000).await;
        let mut ids = ids.map_err(|e| target.place.error(e))?;
        let mut others = Vec::new();
        while let Some(document) = ids.try_next().await.map_err(|e| target.place.error(e))? {
            let Ok(Some(id)) = document.get("_id") else { continue };
            if !self.copied.contains(&hash(id)) {
                others.push(RawBson::from(id));
            }
        }
        Ok(others)
    }
}

/// Reads the documents with these `_id`s and replaces those that differ.
async fn write_differing(target: &Target, entries: Vec<(usize, KeyedDocument)>) -> Result<Vec<RefusedWrite>, SinkError> {
    let mut refused = Vec::new();
    for chunk in entries.chunks(target.limits.documents) {
        let held = held(target, chunk).await?;
        let other = |(_, (id, document)): &&(usize, KeyedDocument)| held.get(&hash(id.as_raw_bson_ref())) != Some(document);
        // A replacement would keep an equal `_id` of another type, so delete such documents first.
        let mut deletes = Bulk::new(target, chunk.len(), None);
        for (tag, (id, _)) in chunk {
            let there = held.get(&hash(id.as_raw_bson_ref())).and_then(|document| document.get("_id").ok().flatten());
            if there.is_some_and(|there| bytes(there) != bytes(id.as_raw_bson_ref())) {
                deletes.push(*tag, Write::Delete { id: id.clone() }).await.map_err(|failed| failed.error)?;
            }
        }
        deletes.finish().await.map_err(|failed| failed.error)?;
        let mut bulk = Bulk::new(target, chunk.len(), None);
        for (tag, (id, document)) in chunk.iter().filter(other) {
            let write = Write::Replace { id: id.clone(), document: document.clone() };
            bulk.push(*tag, write).await.map_err(|failed| failed.error)?;
        }
        refused.extend(bulk.finish().await.map_err(|failed| failed.error)?.refused);
    }
    Ok(refused)
}

/// The target's documents with the `_id`s of these entries, by the hashes of the `_id`s.
async fn held(target: &Target, entries: &[(usize, KeyedDocument)]) -> Result<HashMap<u128, RawDocumentBuf>, SinkError> {
    let ids: Vec<Bson> = entries.iter().map(|(_, (id, _))| Bson::try_from(id.clone()).expect("an `_id` of ours is BSON")).collect();
    let found = target.documents().find(doc! {"_id": {"$in": ids}}).await;
    let mut found = found.map_err(|e| target.place.error(e))?;
    let mut held = HashMap::new();
    while let Some(document) = found.try_next().await.map_err(|e| target.place.error(e))? {
        if let Ok(Some(id)) = document.get("_id") {
            held.insert(hash(id), document);
        }
    }
    Ok(held)
}

/// Equal for `_id`s that are equal in MongoDB's comparison.
fn hash(id: RawBsonRef) -> u128 {
    xxh3_128(&comparable(id))
}

fn bytes(id: RawBsonRef) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(super::cstr!(""), RawBson::from(id));
    document
}
