//! Rows that change or go: DELETE and UPDATE replace whole files, TRUNCATE and retention remove them.
//!
//! DELETE and UPDATE, as the engine does them over one pin:
//! ```text
//! SELECT DISTINCT _weir_file FROM snapshot_with_files(pin) WHERE p                       -- which files
//! rewrite_plan(pin, files, SELECT * FROM snapshot_of_files(pin, files) WHERE p IS NOT TRUE)   -- what stays of them
//! ```
//! The commit is refused with `Conflict` when one of the files is not in the table any more: then again, from the pin.

use super::ManagedTable;
use super::commit::{Commit, Replace};
use super::live_files::LiveFile;
use super::snapshot::Snapshot;
use super::version::Pin;
use super::write;
use crate::error::{Code, Error, Result};
use crate::tables::streaming::EPOCH_COLUMN;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use std::cmp::Ordering;
use std::sync::Arc;

/// The column of [`ManagedTable::snapshot_with_files`] that numbers the files of a pin.
pub const FILE_COLUMN: &str = "_weir_file";

/// Removals that lose a race before retention gives up; its next turn tries again.
const ATTEMPTS_MAX: u32 = 5;

/// Some files of a pin.
#[derive(Debug, Clone, Default)]
pub struct FileSet(pub(super) Vec<Arc<LiveFile>>);

impl FileSet {
    /// Files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is to be rewritten.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Rows in the files; `None` when a file does not say.
    pub fn n_rows(&self) -> Option<u64> {
        self.0.iter().map(|file| Some(file.stats.as_ref()?.n_rows)).sum()
    }

    /// Bytes of the files.
    pub fn n_bytes(&self) -> u64 {
        self.0.iter().map(|file| file.size_bytes).sum()
    }
}

impl ManagedTable {
    /// The rows of a pin with one more column, [`FILE_COLUMN`] (BIGINT): the number of the file that a row is in.
    pub fn snapshot_with_files(&self, pin: &Pin) -> Arc<dyn TableProvider> {
        Arc::new(Snapshot::with_file_column(self.log().clone(), Arc::clone(&pin.0)))
    }

    /// The files of a pin with these numbers.
    pub fn files_at(&self, pin: &Pin, numbers: impl IntoIterator<Item = i64>) -> FileSet {
        let numbers: std::collections::HashSet<i64> = numbers.into_iter().collect();
        let files = pin.0.files.iter().zip(0_i64..).filter(|(_, number)| numbers.contains(number));
        FileSet(files.map(|(file, _)| Arc::clone(file)).collect())
    }

    /// The rows of a pin that are in some of its files.
    pub fn snapshot_of_files(&self, pin: &Pin, files: &FileSet) -> Arc<dyn TableProvider> {
        Arc::new(Snapshot::of_files(self.log().clone(), Arc::clone(&pin.0), files.0.clone()))
    }

    /// The plan that replaces files by the rows of `input` (columns in table order) in one commit; it counts the rows
    /// written. `operation` is what the log calls it: `DELETE`, `UPDATE`.
    ///
    /// # Errors
    /// While it runs: `Conflict` when one of the files is not in the table any more.
    pub fn rewrite_plan(
        self: &Arc<Self>,
        operation: &'static str,
        files: FileSet,
        input: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        write::sink_plan(self, input, operation, Replace::Rows(files.0))
    }

    /// Removes all rows; returns what was removed, as far as the files say.
    pub fn truncate<'a>(&'a self) -> BoxFuture<'a, Result<FileSet>> {
        Box::pin(async move {
            let files = FileSet(self.pin().0.files.iter().cloned().collect());
            let commit = Commit { replace: Replace::Table, ..Commit::append("TRUNCATE", self.definition(), Vec::new()) };
            self.send(commit).await?;
            Ok(files)
        })
    }

    /// Retention by time: removes the files in which every value of the column is less than the cut-off.
    pub fn drop_before<'a>(&'a self, column: &'a str, cutoff: &'a ScalarValue) -> BoxFuture<'a, Result<FileSet>> {
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

    /// Retention by size: removes the oldest files until the table has at most so many bytes.
    pub fn drop_oldest<'a>(&'a self, n_bytes_max: u64) -> BoxFuture<'a, Result<FileSet>> {
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

    async fn drop_files(&self, choose: impl Fn(&Self, &Pin) -> Result<Vec<Arc<LiveFile>>>) -> Result<FileSet> {
        for attempt in 1.. {
            let pin = self.pin();
            let files = choose(self, &pin)?;
            if files.is_empty() {
                break;
            }
            let definition = Arc::clone(&pin.0.definition);
            let commit = Commit { replace: Replace::Rows(files.clone()), ..Commit::append("RETENTION", definition, Vec::new()) };
            match self.send(commit).await {
                Ok(_) => return Ok(FileSet(files)),
                Err(error) if error.code == Code::Conflict && attempt < ATTEMPTS_MAX && self.fenced().is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(FileSet::default())
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
