//! What became of an entry that was written, and whose entry is there instead.

use super::{Committer, FOREIGN_VERSIONS_MAX};
use crate::error::{Code, Error, Result};
use crate::tables::managed::commit::Commit;
use crate::tables::managed::log::Entry;
use bytes::Bytes;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::future::BoxFuture;
use object_store::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Tries to settle what is at one version before the answer is "unknown".
const SETTLE_ATTEMPTS: u32 = 6;
const SETTLE_DELAY_MS: u64 = 5;

/// Entries in doubt that are remembered; with more, nothing is written before they are settled.
const DOUBTS_MAX: usize = 100;

/// A version that we tried to write without learning what became of it.
#[derive(Debug)]
pub struct Doubt {
    version: u64,
    pub bytes: Bytes,
    files: Vec<Path>,
    txns: Vec<(String, i64)>,
    /// Files that go when the entry can never be in the log.
    owned: Vec<Path>,
}

impl Doubt {
    pub fn new(version: u64, bytes: Bytes, commit: &Commit) -> Self {
        Self { version, bytes, files: commit.paths().cloned().collect(), txns: commit.txns.clone(), owned: commit.owned_paths() }
    }

    /// True when the entry was written for the same files and positions.
    pub fn is_of(&self, commit: &Commit) -> bool {
        let tells_apart = !self.files.is_empty() || !self.txns.is_empty();
        tells_apart && self.owned.is_empty() && self.txns == commit.txns && commit.paths().eq(&self.files)
    }
}

/// Whose entry a version turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Ours,
    Foreign,
}

/// An error of the storage before anything was written: the outcome is known, nothing was committed.
pub fn certain(mut error: Error) -> Error {
    if error.code == Code::Unavailable {
        error.code = Code::Io;
    }
    error
}

impl Committer {
    /// Rule 4: writes a version and finds out what is there. An error means that this could not be found out.
    pub(super) fn settle<'a>(&'a self, version: u64, bytes: &'a Bytes) -> BoxFuture<'a, Result<Entry>> {
        Box::pin(async move {
            let mut last = String::new();
            for attempt in 0..SETTLE_ATTEMPTS {
                if attempt > 0 {
                    tokio::time::sleep(Duration::from_millis(SETTLE_DELAY_MS << attempt)).await;
                }
                match self.log.write(version, bytes.clone()).await {
                    Ok(()) => return Ok(Entry::Ours),
                    Err(error) => last = error.to_string(),
                }
                // Even "already exists" may be our own success, reported as a failure by a retry inside the store.
                match self.log.read(version).await {
                    Ok(Some(found)) if found == *bytes => return Ok(Entry::Ours),
                    Ok(Some(found)) => return Ok(Entry::Foreign(found)),
                    // Not there: the same version with the same bytes again, never the next one.
                    Ok(None) => {}
                    Err(error) => last = error.message,
                }
            }
            tracing::error!(table = %self.log.name, version, error = %last, "commit outcome unknown");
            Err(Error::new(Code::Unavailable, format!("could not commit to table \"{}\": {last}", self.log.name))
                .detail(format!("It is not known whether version {version} was written: the rows may be in the table."))
                .hint("When the storage works again, look at the rows before you repeat the statement."))
        })
    }

    /// Remembers an entry whose outcome is unknown.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        if !self.doubts.iter().any(|known| known.bytes == doubt.bytes) {
            self.doubts.push(doubt);
        }
    }

    /// Refuses to write when too many entries are in doubt already: each may still appear.
    pub(super) fn check_doubts(&self) -> Result<()> {
        if self.doubts.len() < DOUBTS_MAX {
            return Ok(());
        }
        Err(Error::new(Code::Io, format!("could not commit to table \"{}\"", self.log.name))
            .detail(format!("It is not known what became of {DOUBTS_MAX} earlier commits: the storage does not answer."))
            .hint("Make the storage work again."))
    }

    /// A version that we were in doubt about exists now: it is ours (and gets applied like a foreign one), or our
    /// bytes can never become that version, and the files can go.
    pub(super) async fn settle_doubts(&mut self, version: u64, found: &Bytes) -> Settled {
        let mut settled = Settled::Foreign;
        let (past, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.doubts).into_iter().partition(|doubt| doubt.version <= version);
        self.doubts = open;
        for doubt in past {
            if doubt.version == version && doubt.bytes == *found {
                tracing::warn!(table = %self.log.name, version, "commit in doubt was written");
                if doubt.owned.is_empty() {
                    self.confirmed.extend(doubt.files);
                }
                settled = Settled::Ours;
            } else {
                self.discard(&doubt.owned).await;
            }
        }
        settled
    }

    /// The generation of writers after a foreign version, when that version says nothing else that a fence must know;
    /// else `None`.
    pub(super) fn generation_after(&self, version: u64, bytes: &Bytes) -> Option<i64> {
        let fence_id = self.log.fence_id();
        let mut generation = self.generation;
        for action in get_actions(version, bytes).ok()? {
            match action {
                Action::Txn(txn) if txn.app_id == fence_id => generation = generation.max(txn.version),
                Action::Protocol(_) | Action::Metadata(_) => return None,
                _ => {}
            }
        }
        Some(generation)
    }

    /// Rule 5: takes over a version that somebody else wrote, or that we were in doubt about.
    pub(super) fn absorb(&mut self, version: u64, bytes: &Bytes, settled: Settled) -> Result<()> {
        let Ok(actions) = get_actions(version, bytes) else {
            self.stale = true;
            return Ok(());
        };
        let (fence_id, ours) = (self.log.fence_id(), self.log.txn_id(""));
        for action in &actions {
            match action {
                Action::Txn(txn) if txn.app_id == fence_id && txn.version > self.generation => {
                    self.set_fenced(self.generations(txn.version));
                    return Ok(());
                }
                // Positions are written by the one stream of this server.
                Action::Txn(txn) if settled == Settled::Foreign && txn.app_id.starts_with(&ours) && txn.app_id != fence_id => {
                    self.set_fenced(format!("Version {version} of the log, which is not ours, moves \"{}\".", txn.app_id));
                    return Ok(());
                }
                _ => {}
            }
        }
        // After the transactions: a load would take the moved positions for ours.
        if actions.iter().any(|action| matches!(action, Action::Protocol(_) | Action::Metadata(_))) {
            self.stale = true;
            return Ok(());
        }
        for action in &actions {
            if let Action::Remove(remove) = action {
                self.remove(&self.log.data_path(&remove.path)?, version);
            }
        }
        for action in &actions {
            match action {
                Action::Add(add) => {
                    let file = self.log.live_file(add, &self.definition).inspect_err(|_| self.stale = true)?;
                    self.files.add(Arc::new(file));
                }
                Action::Txn(txn) => self.txns.set(&txn.app_id, txn.version),
                _ => {}
            }
        }
        self.garbage.restored(&self.files);
        tracing::info!(table = %self.log.name, version, "foreign commit taken over");
        self.tip = version;
        self.publish();
        Ok(())
    }

    /// Takes over what is in the log already, without writing: before files are deleted because memory says that the
    /// table does not have them.
    pub(super) fn catch_up<'a>(&'a mut self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            for _ in 0..FOREIGN_VERSIONS_MAX {
                if self.stale {
                    self.reload().await?;
                }
                let version = self.tip + 1;
                let next = if self.fenced.get().is_some() { None } else { self.log.read(version).await? };
                let Some(found) = next else { return Ok(()) };
                let settled = self.settle_doubts(version, &found).await;
                self.absorb(version, &found, settled)?;
            }
            Err(self.too_busy())
        })
    }

    /// Reads the log again when memory and log may differ.
    pub(super) fn reload<'a>(&'a mut self) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let loaded = self.log.load().await?;
            let generation = loaded.txns.get(&self.log.fence_id()).unwrap_or(0);
            if generation > self.generation {
                self.set_fenced(self.generations(generation));
                return Ok(());
            }
            if let Some(version) = self.doubts.first().map(|doubt| doubt.version).filter(|version| *version <= loaded.version) {
                // A version that is gone was cleaned after a checkpoint; then the loaded list tells.
                match self.log.read(version).await? {
                    Some(found) => drop(self.settle_doubts(version, &found).await),
                    None => self.doubts.clear(),
                }
            }
            self.take(loaded);
            self.stale = false;
            self.publish();
            Ok(())
        })
    }

    fn generations(&self, theirs: i64) -> String {
        format!("This server writes as generation {}, the log has generation {theirs}.", self.generation)
    }
}
