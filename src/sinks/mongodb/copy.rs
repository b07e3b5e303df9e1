//! A full copy of a view: writes what the target does not have so already, and in the end deletes what it has beyond the view.

use std::collections::{HashMap, HashSet};

use futures::TryStreamExt;
use mongodb::bson::{Bson, RawBson, RawDocumentBuf, doc};
use xxhash_rust::xxh3::xxh3_128;

use super::bulk::{Bulk, Write};
use super::document::Entry;
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
        let any = target.documents().find_one(doc! {}).projection(doc! {"_id": 1}).await;
        let fresh = any.map_err(|e| target.place.error(e))?.is_none();
        Ok(Copy { fresh, copied: HashSet::new() })
    }

    pub(super) async fn write(&mut self, target: &Target, entries: Vec<Entry>) -> Result<(), SinkError> {
        let hashes: Vec<u128> = entries.iter().map(|(id, _)| hash(id)).collect();
        if self.fresh {
            // Until the answer is there it is not known any more that nothing is.
            self.fresh = false;
            let mut bulk = Bulk::new(target);
            for (_, document) in entries {
                bulk.push_new(document).await?;
            }
            bulk.finish().await?;
            self.fresh = true;
        } else {
            write_differing(target, entries).await?;
        }
        self.copied.extend(hashes);
        Ok(())
    }

    /// Deletes every document that was not copied.
    pub(super) async fn delete_others(&self, target: &Target) -> Result<(), SinkError> {
        if self.fresh {
            return Ok(());
        }
        let ids = target.documents().find(doc! {}).projection(doc! {"_id": 1}).batch_size(10_000).await;
        let mut ids = ids.map_err(|e| target.place.error(e))?;
        let mut bulk = Bulk::new(target);
        while let Some(document) = ids.try_next().await.map_err(|e| target.place.error(e))? {
            let Ok(Some(id)) = document.get("_id") else { continue };
            let id = RawBson::from(id);
            if !self.copied.contains(&hash(&id)) {
                bulk.push(Write::Delete { id }).await?;
            }
        }
        bulk.finish().await.map(|_| ())
    }
}

/// Reads what the target has under these `_id`s and replaces what is not the same.
async fn write_differing(target: &Target, entries: Vec<Entry>) -> Result<(), SinkError> {
    for chunk in entries.chunks(target.limits.documents) {
        let ids: Vec<Bson> = chunk.iter().map(|(id, _)| Bson::try_from(id.clone()).expect("an `_id` of ours is BSON")).collect();
        let found = target.documents().find(doc! {"_id": {"$in": ids}}).await;
        let mut found = found.map_err(|e| target.place.error(e))?;
        let mut held = HashMap::new();
        while let Some(document) = found.try_next().await.map_err(|e| target.place.error(e))? {
            if let Ok(Some(id)) = document.get("_id") {
                held.insert(hash(&RawBson::from(id)), document);
            }
        }
        let mut bulk = Bulk::new(target);
        for (id, document) in chunk {
            if held.get(&hash(id)) != Some(document) {
                bulk.push(Write::Replace { id: id.clone(), document: document.clone() }).await?;
            }
        }
        bulk.finish().await?;
    }
    Ok(())
}

/// The hash of an `_id`'s bytes, its type among them.
fn hash(id: &RawBson) -> u128 {
    let mut document = RawDocumentBuf::new();
    document.append(super::cstr!(""), id);
    xxh3_128(document.as_bytes())
}
