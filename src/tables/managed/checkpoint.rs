//! Checkpoints of the log: written in the background, proved by reading them, and only then trusted.

use super::log::TableLog;
use super::schema::Definition;
use super::transactions;
use super::version::Version;
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
    let version = expected.number;
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
    blocking.await.map_err(|error| Error::internal(format!("checkpoint: {error}")))??;
    failpoint::reach("checkpoint.written");
    prove(log, expected).await?;
    failpoint::reach("clean.before");
    // Entries younger than this stay, for readers that are about to read them.
    let retention_ms = i64::try_from(expected.definition.log_retention.as_millis()).unwrap_or(i64::MAX);
    let cleaned = log.clean(version, chrono::Utc::now().timestamp_millis().saturating_sub(retention_ms)).await?;
    failpoint::reach("clean.after");
    Ok(cleaned)
}

/// Reopens the table at the version, which now starts from the checkpoint, and compares it with memory. A checkpoint
/// that does not tell the truth is removed: the entries of the log are all still there.
async fn prove(log: &TableLog, expected: &Version) -> Result<()> {
    let version = expected.number;
    let table = log.table(Some(version)).await?;
    let state = table.snapshot().map_err(|error| log.unreadable(&error))?;
    let found = state.log_data().iter().map(|view| log.data_path(&view.path())).collect::<Result<HashSet<Path>>>()?;
    let files: HashSet<Path> = expected.files.iter().map(|file| file.path.clone()).collect();
    let txns = transactions::load(log, version).await?;
    if found == files && txns == expected.txns {
        return Ok(());
    }
    let log_directory = Path::from("_delta_log");
    for name in ["_last_checkpoint".to_owned(), format!("{version:020}.checkpoint.parquet")] {
        log.store.delete(&log_directory.clone().join(name)).await.map_err(|error| log.unreadable(&error))?;
    }
    let (n_found, n_files, n_txns) = (found.len(), files.len(), expected.txns.iter().count());
    Err(Error::internal(format!(
        "the checkpoint of version {version} has {n_found} files instead of {n_files}, or not our {n_txns} positions"
    )))
}
