//! Files that leave a table with all their rows: TRUNCATE, and the retention of a stream.

use super::ManagedTable;
use super::commit::{Commit, Replace};
use super::live_files::LiveFile;
use super::version::Pin;
use crate::error::{Code, Error, Result};
use crate::tables::streaming::EPOCH_COLUMN;
use datafusion::common::ScalarValue;
use futures::future::BoxFuture;
use std::cmp::Ordering;
use std::sync::Arc;

/// Removals that lose a race before retention gives up; its next turn tries again.
const ATTEMPTS_MAX: u32 = 5;

impl ManagedTable {
    /// Removes all rows, also those that are committed until the moment of its own commit.
    pub fn truncate(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let commit = Commit { replace: Replace::Table, ..Commit::append("TRUNCATE", self.definition(), Vec::new()) };
            self.send(commit).await.map(drop)
        })
    }

    /// Retention by time: removes the files in which every value of the column is less than the cut-off; returns how
    /// many files these were.
    pub fn drop_before<'a>(&'a self, column: &'a str, cutoff: &'a ScalarValue) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            self.drop_files(|table, pin| {
                let definition = &pin.0.definition;
                let index = definition
                    .schema
                    .index_of(column)
                    .map_err(|_| Error::new(Code::UndefinedColumn, format!("table \"{}\" has no column \"{column}\"", table.name())))?;
                let cutoff =
                    cutoff.cast_to(definition.schema.field(index).data_type()).map_err(|error| Error::internal(error.to_string()))?;
                let is_past =
                    |file: &&Arc<LiveFile>| greatest(pin, file, index).is_some_and(|max| max.partial_cmp(&cutoff) == Some(Ordering::Less));
                Ok(pin.0.files.iter().filter(is_past).cloned().collect())
            })
            .await
        })
    }

    /// Retention by size: removes the oldest files until the table has at most so many bytes; returns how many files
    /// these were.
    pub fn drop_oldest(&self, n_bytes_max: u64) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            self.drop_files(|_, pin| {
                let mut excess = pin.n_bytes().saturating_sub(n_bytes_max);
                let mut files: Vec<Arc<LiveFile>> = if excess > 0 { pin.0.files.iter().cloned().collect() } else { Vec::new() };
                // A merged file is as old as its rows, not as its commit.
                let epoch = pin.0.definition.schema.index_of(EPOCH_COLUMN).ok();
                files.sort_by_key(|file| match epoch.and_then(|index| greatest(pin, file, index)) {
                    Some(ScalarValue::Int64(Some(epoch))) => (epoch, file.modified_ms),
                    _ => (i64::MIN, file.modified_ms),
                });
                let goes = files.iter().take_while(|file| {
                    let goes = excess > 0;
                    excess = excess.saturating_sub(file.size_bytes);
                    goes
                });
                let n_dropped = goes.count();
                files.truncate(n_dropped);
                Ok(files)
            })
            .await
        })
    }

    async fn drop_files(&self, choose: impl Fn(&Self, &Pin) -> Result<Vec<Arc<LiveFile>>>) -> Result<usize> {
        for attempt in 1.. {
            let pin = self.pin();
            let files = choose(self, &pin)?;
            if files.is_empty() {
                break;
            }
            let (n_files, definition) = (files.len(), Arc::clone(&pin.0.definition));
            let commit = Commit { replace: Replace::Rows(files), ..Commit::append("RETENTION", definition, Vec::new()) };
            match self.send(commit).await {
                Ok(_) => return Ok(n_files),
                Err(error) if error.code == Code::Conflict && attempt < ATTEMPTS_MAX && self.fenced().is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(0)
    }
}

/// The greatest value of a column in a file, when it is known.
fn greatest(pin: &Pin, file: &LiveFile, index: usize) -> Option<ScalarValue> {
    let definition = &pin.0.definition;
    match definition.partition_indexes.iter().position(|&partition| partition == index) {
        Some(position) => Some(file.partition[position].clone()).filter(|value| !value.is_null()),
        None => {
            let in_file = definition.file_indexes.iter().position(|&in_file| in_file == index)?;
            file.stats.as_ref()?.columns.get(in_file)?.max.clone()
        }
    }
}
