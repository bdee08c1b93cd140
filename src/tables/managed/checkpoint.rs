//! Checkpoints of the log: written in the background, proved by reading them, and only then trusted.

use super::log::TableLog;
use super::schema::{Definition, Layout, REMOVED_RETENTION};
use super::version::Version;
use super::{json_checkpoint, transactions};
use crate::error::{Error, Result};
use crate::telemetry::failpoint;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::HashSet;
use std::time::Duration;

/// Versions between two checkpoints.
const EVERY_VERSIONS: u64 = 100;

/// The same where entries are kept only shortly: with a commit every second the log stays under 300 entries.
const EVERY_VERSIONS_SHORT: u64 = 50;
const SHORT_RETENTION: Duration = Duration::from_secs(60 * 60);

/// True when a version gets a checkpoint, after one at an older version: at every hundredth, or soon after.
pub fn is_due(version: u64, last: u64, definition: &Definition) -> bool {
    let every = if definition.log_retention < SHORT_RETENTION { EVERY_VERSIONS_SHORT } else { EVERY_VERSIONS };
    version / every > last / every
}

/// Writes a checkpoint and cleans the log behind it. A failure is only a slower start.
pub async fn write(log: TableLog, expected: Version) {
    let version = expected.number;
    failpoint::reach("checkpoint.before");
    match try_write(&log, &expected).await {
        Ok(cleaned) => tracing::info!(table = %log.name, version, cleaned, "checkpoint written"),
        Err(error) => tracing::warn!(table = %log.name, version, error = %error, "checkpoint failed"),
    }
}

async fn try_write(log: &TableLog, expected: &Version) -> Result<usize> {
    let (version, now_ms) = (expected.number, chrono::Utc::now().timestamp_millis());
    let written = match expected.definition.layout {
        Layout::Delta => {
            create(log, version).await?;
            Path::from("_delta_log").join(format!("{version:020}.checkpoint.parquet"))
        }
        Layout::Parquet => json_checkpoint::write(log, version, now_ms - millis(REMOVED_RETENTION)).await?,
    };
    failpoint::reach("checkpoint.written");
    prove(log, expected, &written).await?;
    failpoint::reach("clean.before");
    // Entries younger than this stay, for readers that are about to read them.
    let cleaned = log.clean(version, now_ms.saturating_sub(millis(expected.definition.log_retention))).await?;
    if expected.definition.layout == Layout::Parquet {
        json_checkpoint::clean(log).await?;
    }
    failpoint::reach("clean.after");
    Ok(cleaned)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// A checkpoint as the crate writes it.
async fn create(log: &TableLog, version: u64) -> Result<()> {
    // The kernel works synchronously: on a thread that may block.
    let blocking = {
        let log = log.clone();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                let table = log.table(Some(version)).await?;
                deltalake_core::checkpoints::create_checkpoint(&table, None).await.map_err(|error| log.unreadable(&error))
            })
        })
    };
    blocking.await.map_err(|error| Error::internal(format!("checkpoint: {error}")))?
}

/// Reopens the table at the version, which now starts from the checkpoint, and compares it with memory. A checkpoint
/// that does not tell the truth is removed: the entries of the log are all still there.
async fn prove(log: &TableLog, expected: &Version, written: &Path) -> Result<()> {
    let Err(error) = compare(log, expected).await else { return Ok(()) };
    for path in [&Path::from("_delta_log/_last_checkpoint"), written] {
        match log.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(log.unreadable(&error)),
        }
    }
    Err(error)
}

async fn compare(log: &TableLog, expected: &Version) -> Result<()> {
    let version = expected.number;
    let table = log.table(Some(version)).await?;
    let state = table.snapshot().map_err(|error| log.unreadable(&error))?;
    let found = state.log_data().iter().map(|view| log.data_path(&view.path())).collect::<Result<HashSet<Path>>>()?;
    let files: HashSet<Path> = expected.files.iter().map(|file| file.path.clone()).collect();
    let txns = transactions::load(log, version).await?;
    if found == files && txns == expected.txns {
        return Ok(());
    }
    let (n_found, n_files, n_txns) = (found.len(), files.len(), expected.txns.iter().count());
    Err(Error::internal(format!(
        "the checkpoint of version {version} has {n_found} files instead of {n_files}, or not our {n_txns} positions"
    )))
}
