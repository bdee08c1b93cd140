//! One write of files into directories: staged, then committed in one step, or dropped without a trace.

use super::journal::{Journal, JournalPaths, encode, remember, remove_staging};
use crate::error::{Code, Error, Result};
use crate::storage::durable::{self, AtPath};
use crate::storage::{ApplyGuard, Storage};
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The hidden directory inside a table where files are written before they belong to it: on the same file
/// system, so that publishing is a rename.
pub(super) const STAGING: &str = "_weir_staging";

/// See the module. Dropping it before [`Transaction::commit`] removes everything it has written.
#[derive(Debug)]
pub(super) struct Transaction {
    storage: Arc<Storage>,
    id: String,
    /// The directories whose listings will change.
    directories: Vec<PathBuf>,
    paths: JournalPaths,
    staging: Vec<PathBuf>,
    renames: Vec<(PathBuf, PathBuf)>,
    done: bool,
}

/// Where a test stops a commit, as a crash would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    BeforeJournal,
    AfterJournal,
    AfterPublish,
    HalfRemoved,
    BeforeForget,
    Never,
}

impl Transaction {
    /// Begins; nothing is written yet.
    pub(super) fn begin(storage: &Arc<Storage>, directories: Vec<PathBuf>) -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let paths = JournalPaths::new(storage, &id);
        Self { storage: Arc::clone(storage), id, directories, paths, staging: Vec::new(), renames: Vec::new(), done: false }
    }

    /// Also changes this directory.
    pub(super) fn include(&mut self, directory: &Path) {
        if !self.directories.iter().any(|other| directory.starts_with(other)) {
            self.directories.push(directory.to_path_buf());
        }
    }

    /// The path to write a file that shall become `target`, which lies under `base`. Blocks.
    pub(super) fn stage(&mut self, base: &Path, target: PathBuf) -> Result<PathBuf> {
        let directory = self.staging_for(base, &target)?;
        let staged = directory.join(self.renames.len().to_string());
        self.renames.push((staged.clone(), target));
        Ok(staged)
    }

    fn staging_for(&mut self, base: &Path, target: &Path) -> Result<PathBuf> {
        let parent = target.parent().unwrap_or(base);
        // A partition directory may be a mount of its own; a rename cannot cross it.
        let is_elsewhere = matches!((device(parent), device(base)), (Some(a), Some(b)) if a != b);
        let directory = if is_elsewhere { parent } else { base }.join(STAGING).join(&self.id);
        if !self.staging.contains(&directory) {
            self.staging.push(directory.clone());
            let written = encode(&self.staging)?;
            // Recorded before it exists, so that a crash leaves nothing that nobody knows.
            durable::write_file(&self.paths.begun, &written).at("write", &self.paths.begun)?;
            durable::create_dir_all(&directory).at("create directory", &directory)?;
        }
        Ok(directory)
    }

    /// Makes the staged files, and the removal of what `removals` returns, visible in one step.
    ///
    /// `removals` runs under the lock, so that it sees the files of writes that were committed meanwhile. Once the
    /// journal is durable the write is committed; a failure after that is completed later, by the next listing or
    /// the next start.
    pub(super) async fn commit(self, removals: impl FnOnce() -> Result<BTreeSet<PathBuf>> + Send + 'static) -> Result<()> {
        self.commit_until(Stop::Never, removals).await
    }

    pub(super) async fn commit_until(
        self,
        stop: Stop,
        removals: impl FnOnce() -> Result<BTreeSet<PathBuf>> + Send + 'static,
    ) -> Result<()> {
        let guard = self.storage.apply(&self.directories).await;
        // One piece of blocking work: a caller that goes away cannot leave it half done.
        durable::blocking(move || self.commit_locked(&guard, stop, removals)).await
    }

    fn commit_locked(mut self, guard: &ApplyGuard, stop: Stop, removals: impl FnOnce() -> Result<BTreeSet<PathBuf>>) -> Result<()> {
        super::journal::retry(&self.storage, &self.directories)?;
        let removals = removals()?;
        let journal = Journal {
            directories: self.directories.clone(),
            renames: std::mem::take(&mut self.renames),
            removals: removals.iter().cloned().collect(),
            staging: self.staging.clone(),
        };
        if journal.renames.is_empty() && journal.removals.is_empty() {
            return Ok(());
        }
        for directory in &journal.staging {
            durable::sync_dir(directory).at("sync directory", directory)?;
        }
        let bytes = encode(&journal)?;
        if self.stops(stop, Stop::BeforeJournal) {
            return Err(stopped());
        }
        durable::create_file(&self.paths.journal, &bytes).at("write journal", &self.paths.journal)?;
        // Committed: from here on nothing is taken back.
        self.done = true;
        if stop == Stop::AfterJournal {
            return Err(stopped());
        }
        if let Err(error) = journal.publish() {
            remember(&self.storage, &self.paths.journal, journal.directories);
            return Err(Error::new(Code::Unavailable, "write is committed, its files could not be put in place yet")
                .detail(format!("{}.", error.one_line()))
                .hint("Remove the cause; the next query on the table completes it. Do not repeat the statement."));
        }
        if stop == Stop::AfterPublish {
            return Err(stopped());
        }
        if stop == Stop::HalfRemoved {
            if let Some(first) = journal.removals.first() {
                std::fs::remove_file(first).at("remove", first)?;
            }
            return Err(stopped());
        }
        if stop == Stop::BeforeForget {
            journal.remove()?;
            return Err(stopped());
        }
        if let Err(error) = self.paths.mark_published() {
            tracing::warn!(%error, "journal of a completed write could not be renamed");
        }
        let paths = self.paths.clone();
        guard.remove_later(removals, move || {
            // The journal stays when this fails; the next start tries again.
            if let Err(error) = journal.remove().and_then(|()| paths.forget()) {
                tracing::warn!(%error, "files of a completed write could not be removed yet");
            }
        });
        Ok(())
    }

    fn stops(&mut self, stop: Stop, here: Stop) -> bool {
        // A crash runs no destructors.
        self.done |= stop == here;
        stop == here
    }
}

fn stopped() -> Error {
    Error::internal("stopped by a test")
}

fn device(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|metadata| metadata.dev())
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (staging, paths) = (std::mem::take(&mut self.staging), self.paths.clone());
        if staging.is_empty() {
            return;
        }
        let clean = move || {
            if let Err(error) = remove_staging(&staging).and_then(|()| paths.forget()) {
                tracing::warn!(%error, "staged files of a failed write could not be removed");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(clean)),
            Err(_) => clean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::hive::write::journal::{has_unfinished, recover};

    /// A reader delays the removal of what a first write replaced; a second one has replaced the first one's file
    /// when the process dies. Nobody may look for that file at the next start.
    #[tokio::test]
    async fn a_write_whose_removals_wait_may_lose_its_files_to_a_later_write() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), Vec::new()).unwrap();
        let table = storage.warehouse().join("t");
        let (old, new) = (table.join("old.csv"), table.join("new.csv"));
        durable::create_file(&old, b"1").unwrap();
        let reader = storage.pin(std::slice::from_ref(&table)).await;
        reader.listed();
        let mut transaction = Transaction::begin(&storage, vec![table.clone()]);
        std::fs::write(transaction.stage(&table, new.clone()).unwrap(), b"2").unwrap();
        let removals = BTreeSet::from([old.clone()]);
        transaction.commit(move || Ok(removals)).await.unwrap();
        assert!(old.exists() && new.exists(), "the reader holds the removal up");
        std::fs::remove_file(&new).unwrap();
        // The process dies: another one starts over the same directories.
        let restarted = Storage::open(directory.path(), Vec::new()).unwrap();
        recover(&restarted).await.unwrap();
        assert!(!has_unfinished(&restarted), "the directory would stay closed for ever");
        assert!(!old.exists() && !new.exists());
        assert_eq!(std::fs::read_dir(storage.warehouse().join("_weir_journal")).unwrap().count(), 0);
        drop(reader);
    }
}
