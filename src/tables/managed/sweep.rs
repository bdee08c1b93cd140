//! Removes data files that no version has: left by writers that died, or removed from the table long ago.

use super::garbage::{GRACE, Tombstone};
use super::live_files::LiveFiles;
use super::log::TableLog;
use super::schema::Layout;
use crate::error::Result;
use crate::storage::durable::{self, Depth};
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use std::collections::HashSet;

/// New files of a table whose listing is the truth: no listing of `*.parquet` finds them.
const YOUNG_DIRECTORY: &str = "_weir/young";
const YOUNG_ENDING: &str = ".young";
const ENDING: &str = ".parquet";

/// The name of a new data file of a generation of writers, in the directory of its partition.
pub fn file_path(generation: i64, directory: &str, is_young: bool) -> String {
    let (root, ending) = if is_young { (YOUNG_DIRECTORY, YOUNG_ENDING) } else { ("", ENDING) };
    let name = format!("part-{generation}-{}{ending}", uuid::Uuid::now_v7());
    [root, directory, &name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

/// True for a file that listings do not show.
pub fn is_young(path: &Path) -> bool {
    path.as_ref().starts_with("_weir/young/")
}

/// The generation in the name of a data file of ours. Spark's names (`part-00000-<uuid>-c000.snappy.parquet`) have none.
fn generation_of(name: &str) -> Option<i64> {
    let name = name.strip_suffix(ENDING).or_else(|| name.strip_suffix(YOUNG_ENDING))?;
    let (generation, unique) = name.strip_prefix("part-")?.split_once('-')?;
    uuid::Uuid::try_parse(unique).ok()?;
    generation.parse().ok()
}

/// What a sweep leaves on disk.
#[derive(Debug, Default)]
pub struct Swept {
    /// Removed from the table not long ago.
    pub removed: Vec<Tombstone>,
    /// Files of no version that listings show and that could not be deleted.
    pub unwanted: Vec<Path>,
}

/// True where writers of a table put files: in the directories of partitions. Below any other directory somebody else's
/// table may lie.
fn is_in_a_partition(path: &Path) -> bool {
    let path = path.as_ref();
    let below = path.strip_prefix(YOUNG_DIRECTORY).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    below.rsplit_once('/').is_none_or(|(directories, _)| directories.split('/').all(|name| name.contains('=')))
}

/// Rule 2: after the fence is durable, deletes what writers up to `generation` left behind. What was removed from the
/// table not long ago stays. What cannot be done is left to the next start.
///
/// # Errors
/// Where listings are the truth: nobody may publish rows before it is known which files show them already.
pub fn sweep<'a>(log: &'a TableLog, generation: i64, live: &'a LiveFiles, layout: Layout) -> BoxFuture<'a, Result<Swept>> {
    Box::pin(async move {
        let (paths, removed) = match leftover_files(log, generation, live, layout).await {
            Err(error) if layout == Layout::Delta => {
                tracing::warn!(table = %log.name, error = %error, "sweep failed");
                return Ok(Swept::default());
            }
            found => found?,
        };
        if !paths.is_empty() {
            tracing::info!(table = %log.name, n_files = paths.len(), "files of no version removed");
        }
        let mut unwanted = delete(log, &paths).await;
        unwanted.retain(|path| layout == Layout::Parquet && !is_young(path));
        Ok(Swept { removed, unwanted })
    })
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

/// Our files on disk that no version has now: those that go, and those that were removed less than the grace ago.
fn leftover_files<'a>(
    log: &'a TableLog,
    generation: i64,
    live: &'a LiveFiles,
    layout: Layout,
) -> BoxFuture<'a, Result<(Vec<Path>, Vec<Tombstone>)>> {
    Box::pin(async move {
        let candidates = files_of(log, generation, live).await?;
        if candidates.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let cutoff_ms = chrono::Utc::now().timestamp_millis() - i64::try_from(GRACE.as_millis()).unwrap_or(i64::MAX);
        let removed_ms = log.tombstones().await?;
        let (mut paths, mut removed) = (Vec::new(), Vec::new());
        for object in candidates {
            match removed_ms.get(&object.location) {
                Some(&removed_ms) if removed_ms >= cutoff_ms && (layout == Layout::Delta || is_young(&object.location)) => {
                    removed.push(Tombstone { path: object.location, size_bytes: object.size, removed_ms, removed_at: 0 });
                }
                _ => paths.push(object.location),
            }
        }
        Ok((paths, removed))
    })
}

/// Files on disk that writers up to a generation have made and that are not live.
pub fn files_of<'a>(log: &'a TableLog, generation: i64, live: &'a LiveFiles) -> BoxFuture<'a, Result<Vec<ObjectMeta>>> {
    Box::pin(async move {
        let mut found: Vec<ObjectMeta> = log
            .store
            .list(None)
            .try_filter_map(async |object| {
                let old = object.location.filename().and_then(generation_of).is_some_and(|found| found <= generation);
                Ok((old && is_in_a_partition(&object.location)).then_some(object))
            })
            .try_collect()
            .await
            .map_err(|error| log.unreadable(&error))?;
        let live: HashSet<&Path> = live.iter().map(|file| &file.path).collect();
        found.retain(|object| !live.contains(&object.location));
        Ok(found)
    })
}

/// Deletes files, as many as it can; returns the others.
pub fn delete<'a>(log: &'a TableLog, paths: &'a [Path]) -> BoxFuture<'a, Vec<Path>> {
    Box::pin(async move {
        let mut left = Vec::new();
        for path in paths {
            match log.store.delete(path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    tracing::warn!(table = %log.name, path = %path, error = %error, "file not removed");
                    left.push(path.clone());
                }
            }
        }
        left
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_a_generation() {
        for is_young in [true, false] {
            let path = Path::parse(file_path(17, "p=1/q=2", is_young)).unwrap();
            assert_eq!((path.filename().and_then(generation_of), super::is_young(&path)), (Some(17), is_young), "{path}");
            assert!(path.as_ref().contains("p=1/q=2/part-17-") && path.as_ref().ends_with(".parquet") != is_young, "{path}");
            let of_others = Path::parse(file_path(17, "p=1/their_table", is_young)).unwrap();
            assert!(is_in_a_partition(&path) && !is_in_a_partition(&of_others), "{path}, {of_others}");
        }
        assert!(is_in_a_partition(&Path::from("part-1.parquet")) && is_in_a_partition(&Path::from("_weir/young/part-1.young")));
        assert!(!is_in_a_partition(&Path::from("below/part-1.parquet")));
        for name in ["part-00000-67e55044-10b1-426f-9247-bb680e5fe0c8-c000.parquet", "part-x-1.parquet", "data.parquet", "part-1.parquet"] {
            assert_eq!(generation_of(name), None, "{name}");
        }
    }
}
