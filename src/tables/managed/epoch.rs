//! Epochs: what a stream makes durable at once, rows and positions in one commit.
//!
//! ```text
//! epoch_writer --write(batch)..--> EpochWriter --finish--> EpochFiles --commit_epoch--> one entry: adds, txn per position, txn epoch
//! ```

use super::ManagedTable;
use super::commit::{Commit, Owner, Replace};
use super::files::{FilesWriter, Place, UnfinishedFiles};
use super::live_files::LiveFile;
use super::schema::Definition;
use super::write::conform;
use crate::error::{Code, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::execution::memory_pool::MemoryPool;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What the log calls a commit of a stream.
const OPERATION: &str = "STREAMING UPDATE";

/// Encodes the rows of one epoch into data files. Dropped, it deletes them.
pub struct EpochWriter {
    name: String,
    definition: Arc<Definition>,
    files: FilesWriter,
}

impl EpochWriter {
    /// Takes rows with all columns of the table, in table order.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.files.write(&conform(&self.name, &self.definition, rows)?).await
    }

    /// Closes the files: they are durable, and in no version yet.
    pub fn finish(self) -> BoxFuture<'static, Result<EpochFiles>> {
        Box::pin(async move {
            let (files, unfinished) = self.files.finish().await?;
            let files = files.into_iter().map(Arc::new).collect();
            Ok(EpochFiles { definition: self.definition, files, unfinished: Some(unfinished) })
        })
    }
}

/// The durable files of an epoch. Dropped before they are committed, they are deleted, unless they may be in the log.
#[derive(Debug)]
pub struct EpochFiles {
    definition: Arc<Definition>,
    files: Vec<Arc<LiveFile>>,
    /// `None` while nobody may delete them.
    unfinished: Option<UnfinishedFiles>,
}

impl EpochFiles {
    /// Data files.
    pub fn n_files(&self) -> usize {
        self.files.len()
    }

    /// Rows in the data files.
    pub fn n_rows(&self) -> u64 {
        self.files.iter().filter_map(|file| file.stats.as_ref()).map(|stats| stats.n_rows).sum()
    }

    /// Bytes of the data files.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

impl ManagedTable {
    /// The name of a transaction of this table: `epoch`, `watermark`, `offset:<topic>:<partition>`.
    pub fn txn_id(&self, what: &str) -> String {
        self.log().txn_id(what)
    }

    /// Encodes an epoch; the memory that it needs is taken from the pool.
    pub fn epoch_writer(&self, pool: &Arc<dyn MemoryPool>) -> EpochWriter {
        let definition = self.definition();
        let files = FilesWriter::new(self, Arc::clone(&definition), Place::Brief, "stream into", pool);
        EpochWriter { name: self.name().to_owned(), definition, files }
    }

    /// An epoch without rows: positions only.
    pub fn no_files(&self) -> EpochFiles {
        EpochFiles { definition: self.definition(), files: Vec::new(), unfinished: None }
    }

    /// Makes an epoch visible: one entry of the log with its files, its positions and its number.
    ///
    /// After `Unavailable` the outcome is not known: the same call again, with the same files and positions, finds out
    /// and never commits twice. An epoch that is in the log with the same positions is a success.
    ///
    /// # Errors
    /// `Unavailable`: not known, call again. Anything else is final for this epoch: `Conflict` when another server
    /// has taken the table over, or when the log has this epoch with other positions.
    pub fn commit_epoch<'a>(&'a self, epoch: i64, files: &'a mut EpochFiles, txns: Vec<(String, i64)>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut txns = txns;
            txns.push((self.txn_id("epoch"), epoch));
            let commit = Commit {
                operation: OPERATION,
                definition: Arc::clone(&files.definition),
                files: files.files.clone(),
                replace: Replace::Nothing,
                txns,
                owner: Owner::Caller,
            };
            // From here on the entry may name them, also when this call is dropped: nobody but a sweep may delete them.
            let unfinished = files.unfinished.take().map(UnfinishedFiles::hand_over);
            let result = self.send(commit).await;
            match &result {
                Ok(_) => files.files.clear(),
                // A panic of the committer leaves it open too.
                Err(error) if matches!(error.code, Code::Unavailable | Code::Internal) => {}
                Err(_) => files.unfinished = unfinished.map(|paths| self.unfinished(paths)),
            }
            result
        })
    }

    /// Whether the log has a version after the newest one known here: another writer's, or one of ours that is on its
    /// way. The next commit finds out which.
    pub fn has_unknown_version(&self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async move { Ok(self.log().entry_tag(self.version() + 1).await?.is_some()) })
    }

    /// Moves positions without rows (a SEEK, the first positions of a table). May be repeated after `Unavailable`.
    pub fn commit_txns<'a>(&'a self, txns: Vec<(String, i64)>) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let commit = Commit { txns, owner: Owner::Caller, ..Commit::append(OPERATION, self.definition(), Vec::new()) };
            self.send(commit).await
        })
    }
}
