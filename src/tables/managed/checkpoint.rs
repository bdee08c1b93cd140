//! Checkpoints of the log: written in the background, proved by reading them, and only then trusted.

use super::live_files::LiveFiles;
use super::log::TableLog;
use crate::error::{Error, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use std::collections::HashSet;

/// Versions between two checkpoints.
const EVERY_VERSIONS: u64 = 100;

/// Log entries younger than this stay, for readers that are about to read them (as `delta.logRetentionDuration`).
const LOG_RETENTION_MS: i64 = 24 * 60 * 60 * 1_000;

/// True when a version gets a checkpoint.
pub fn is_due(version: u64) -> bool {
    version > 0 && version.is_multiple_of(EVERY_VERSIONS)
}

/// Writes a checkpoint and cleans the log behind it. A failure is only a slower start.
pub async fn write(log: TableLog, version: u64, expected: LiveFiles) {
    match try_write(&log, version, &expected).await {
        Ok(cleaned) => tracing::info!(table = %log.name, version, cleaned, "checkpoint written"),
        Err(error) => tracing::warn!(table = %log.name, version, error = %error, "checkpoint failed"),
    }
}

async fn try_write(log: &TableLog, version: u64, expected: &LiveFiles) -> Result<usize> {
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
    prove(log, version, expected).await?;
    log.clean(version, chrono::Utc::now().timestamp_millis() - LOG_RETENTION_MS).await
}

/// Reopens the table at the version, which now starts from the checkpoint, and compares the files. A checkpoint that
/// does not tell the truth is removed: the entries of the log are all still there.
async fn prove(log: &TableLog, version: u64, expected: &LiveFiles) -> Result<()> {
    let table = log.table(Some(version)).await?;
    let state = table.snapshot().map_err(|error| log.unreadable(&error))?;
    let found = state.log_data().iter().map(|view| log.data_path(&view.path())).collect::<Result<HashSet<Path>>>()?;
    let expected: HashSet<Path> = expected.iter().map(|file| file.path.clone()).collect();
    if found == expected {
        return Ok(());
    }
    let log_directory = Path::from("_delta_log");
    for name in ["_last_checkpoint".to_owned(), format!("{version:020}.checkpoint.parquet")] {
        log.store.delete(&log_directory.clone().join(name)).await.map_err(|error| log.unreadable(&error))?;
    }
    Err(Error::internal(format!("the checkpoint of version {version} has {} files instead of {}", found.len(), expected.len())))
}
