//! A full copy of a view: writes what the target does not have so already, and in the end deletes what it has beyond the view. Or a comparison, which
//! writes nothing.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::{Bson, RawBson, RawBsonRef, RawDocumentBuf, doc};
use xxhash_rust::xxh3::xxh3_128;

use super::bulk::{Bulk, RefusedWrite, Write};
use super::document::Entry;
use super::id::comparable;
use super::target::Target;
use crate::sinks::SinkError;

/// A copy under way.
#[derive(Debug)]
pub(super) struct Copy {
    /// The collection had nothing when the copy began, and every write since has had its answer.
    fresh: bool,
    /// Hashes of the `_id`s that were copied. 16 bytes for each, so that two that differ do not meet.
    copied: HashSet<u128>,
}

impl Copy {
    /// The target's position goes first: from here on the target is no state of any store.
    pub(super) async fn begin(target: &Target) -> Result<Copy, SinkError> {
        target.clear_position().await?;
        Ok(Copy { fresh: !target.holds_documents().await?, copied: HashSet::new() })
    }

    pub(super) fn comparison() -> Copy {
        Copy { fresh: false, copied: HashSet::new() }
    }

    /// The tags of the documents that the target does not have, or not so.
    pub(super) async fn compare(&mut self, target: &Target, entries: &[(usize, Entry)]) -> Result<Vec<usize>, SinkError> {
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

    /// Writes documents, each with a tag; answers which of them the server refuses. These are deleted in the end, as whatever was not copied.
    pub(super) async fn write(&mut self, target: &Target, entries: Vec<(usize, Entry)>) -> Result<Vec<RefusedWrite>, SinkError> {
        let mut hashes: HashMap<usize, u128> = entries.iter().map(|(tag, (id, _))| (*tag, hash(id.as_raw_bson_ref()))).collect();
        let refused = if self.fresh {
            // Until the answer is there it is not known any more that nothing is.
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

/// Reads what the target has under these `_id`s and replaces what is not the same.
async fn write_differing(target: &Target, entries: Vec<(usize, Entry)>) -> Result<Vec<RefusedWrite>, SinkError> {
    let mut refused = Vec::new();
    for chunk in entries.chunks(target.limits.documents) {
        let held = held(target, chunk).await?;
        let other = |(_, (id, document)): &&(usize, Entry)| held.get(&hash(id.as_raw_bson_ref())) != Some(document);
        // What is there under an `_id` of another type that MongoDB takes for this one would keep that.
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

/// What the target has under the `_id`s of these entries, by their hashes.
async fn held(target: &Target, entries: &[(usize, Entry)]) -> Result<HashMap<u128, RawDocumentBuf>, SinkError> {
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

/// Equal where MongoDB takes two `_id`s for one.
fn hash(id: RawBsonRef) -> u128 {
    xxh3_128(&comparable(id))
}

fn bytes(id: RawBsonRef) -> RawDocumentBuf {
    let mut document = RawDocumentBuf::new();
    document.append(super::cstr!(""), RawBson::from(id));
    document
}
