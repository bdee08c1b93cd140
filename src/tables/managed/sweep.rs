//! Removes data files that no version has: left by writers that died, or removed from the table long ago.

use super::live_files::LiveFiles;
use super::log::TableLog;
use crate::error::Result;
use crate::storage::durable::{self, Depth};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::HashSet;

/// Readers outside of this server may still read files that were removed from the table less than this ago.
const GRACE_MS: i64 = 24 * 60 * 60 * 1_000;

/// The name of a new data file of a generation of writers.
pub fn file_name(generation: i64) -> String {
    format!("part-{generation}-{}.parquet", uuid::Uuid::now_v7())
}

/// The generation in the name of a data file of ours. Spark's names (`part-00000-<uuid>-c000.snappy.parquet`) have none.
fn generation_of(name: &str) -> Option<i64> {
    let (generation, unique) = name.strip_suffix(".parquet")?.strip_prefix("part-")?.split_once('-')?;
    uuid::Uuid::try_parse(unique).ok()?;
    generation.parse().ok()
}

/// Rule 2: after the fence is durable, deletes what writers up to `generation` left behind. Never fails: the next start
/// tries again.
pub async fn sweep(log: &TableLog, generation: i64, live: &LiveFiles) {
    match orphans(log, generation, live).await {
        Ok(paths) if paths.is_empty() => {}
        Ok(paths) => {
            tracing::info!(table = %log.name, n_files = paths.len(), "files of no version removed");
            delete(log, &paths).await;
        }
        Err(error) => tracing::warn!(table = %log.name, error = %error, "sweep failed"),
    }
}

/// Removes half-written files of writers that died: no listing shows them. Never fails: the next start tries again.
pub async fn leftovers(table: &str, directory: &std::path::Path) {
    let directory = directory.to_path_buf();
    match durable::blocking(move || durable::remove_leftovers(&directory, Depth::Tree)).await {
        Ok(0) => {}
        Ok(n_files) => tracing::info!(table, n_files, "half-written files removed"),
        Err(error) => tracing::warn!(table, %error, "half-written files not removed"),
    }
}

async fn orphans(log: &TableLog, generation: i64, live: &LiveFiles) -> Result<Vec<Path>> {
    let mut candidates: Vec<Path> = log
        .store
        .list(None)
        .try_filter_map(async |object| {
            let old = object.location.filename().and_then(generation_of).is_some_and(|found| found <= generation);
            Ok(old.then_some(object.location))
        })
        .try_collect()
        .await
        .map_err(|error| log.unreadable(&error))?;
    let live: HashSet<&Path> = live.iter().map(|file| &file.path).collect();
    candidates.retain(|path| !live.contains(path));
    if !candidates.is_empty() {
        let young = chrono::Utc::now().timestamp_millis() - GRACE_MS;
        let tombstones = log.tombstones().await?;
        candidates.retain(|path| tombstones.get(path).is_none_or(|removed_ms| *removed_ms < young));
    }
    Ok(candidates)
}

/// Deletes files, as many as it can.
pub async fn delete(log: &TableLog, paths: &[Path]) {
    for path in paths {
        match log.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(table = %log.name, path = %path, error = %error, "file not removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_a_generation() {
        assert_eq!(generation_of(&file_name(17)), Some(17));
        for name in ["part-00000-67e55044-10b1-426f-9247-bb680e5fe0c8-c000.parquet", "part-x-1.parquet", "data.parquet", "part-1.parquet"] {
            assert_eq!(generation_of(name), None, "{name}");
        }
    }
}
