//! The one writer of a table: a task that turns finished data files into versions of the log.
//!
//! ```text
//! INSERT, DELETE, OPTIMIZE --files---------+
//! streams -------files and positions-------+--> queue --> Committer --v = tip + 1--> _delta_log/v.json --> published version
//! ```
//! The rules (what is written when, what an error means, who may delete files) are those of the commit
//! protocol in `ARCHITECTURE.md`; each rule is named where it is kept. What became of an entry is found out in `settle`.

mod collect;
mod settle;

pub use self::collect::Vacuum;
use self::settle::Doubt;
use super::commit::{Commit, Replace};
use super::garbage::{Garbage, Tombstone, VacuumReport};
use super::live_files::{LiveFile, LiveFilesEditor};
use super::log::{self, Entry, Loaded, TableLog};
use super::schema::Definition;
use super::version::{Published, Txns, Version};
use super::{checkpoint, sweep};
use crate::error::{Code, Error, Result};
use crate::telemetry::{failpoint, task};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Foreign versions that one commit gets out of the way of.
const FOREIGN_VERSIONS_MAX: u32 = 1_000;

/// What the committer is asked to do.
#[derive(Debug)]
pub enum Command {
    Commit(Commit, oneshot::Sender<Result<u64>>),
    Vacuum(Vacuum, oneshot::Sender<Result<VacuumReport>>),
    /// Stop after what came before.
    Close(oneshot::Sender<()>),
}

/// The error that every commit gets since another server has taken the table over.
pub type Fenced = Arc<OnceLock<Error>>;

/// A table that was taken over.
#[derive(Debug)]
pub struct Opened {
    pub committer: Committer,
    pub published: Published,
    pub fenced: Fenced,
    /// Files of no version that listings show and that could not be deleted: they must go before their rows are
    /// published again.
    pub unwanted: Vec<Path>,
}

/// The one writer of a table's log.
#[derive(Debug)]
pub struct Committer {
    log: TableLog,
    generation: i64,
    tip: u64,
    definition: Arc<Definition>,
    files: LiveFilesEditor,
    txns: Txns,
    published: Published,
    garbage: Garbage,
    /// Set for good when another writer took the table over.
    fenced: Fenced,
    /// All of the version after the tip.
    doubts: Vec<Doubt>,
    /// Files of commits in doubt that turned out to be in the log, until the caller asks again. By then a later commit
    /// may have taken them out of the table, and readers of the version between may hold them.
    confirmed: HashSet<Path>,
    /// The state in memory may lag behind the log (a panic, an entry that we cannot apply).
    stale: bool,
    checkpoint: Option<JoinHandle<()>>,
    /// The version at which the last checkpoint was started.
    checkpointed_at: u64,
    /// Ends with the files that could not be deleted.
    collection: Option<JoinHandle<Vec<Tombstone>>>,
}

impl Committer {
    /// Rules 1 and 2: takes over a loaded table. Writes the fence unless version 0 was just written by us with it in.
    pub fn open(log: TableLog, created_generation: Option<i64>) -> BoxFuture<'static, Result<Opened>> {
        Box::pin(async move {
            let loaded = log.load().await?;
            let mut committer = Self::of(log, loaded);
            let mut unwanted = Vec::new();
            let older = committer.generation;
            match created_generation {
                Some(generation) => committer.generation = generation,
                None => {
                    failpoint::reach("fence.before");
                    committer.fence().await?;
                    failpoint::reach("fence.after");
                    let layout = committer.definition.layout;
                    let swept = sweep::sweep(&committer.log, older, committer.files.files(), layout).await?;
                    committer.garbage.keep(swept.removed);
                    unwanted = swept.unwanted;
                }
            }
            let (published, fenced) = (Arc::clone(&committer.published), Arc::clone(&committer.fenced));
            Ok(Opened { committer, published, fenced, unwanted })
        })
    }

    fn of(log: TableLog, loaded: Loaded) -> Self {
        let Loaded { version, definition, files, txns } = loaded;
        let first = Version { number: version, definition: Arc::clone(&definition), files: files.pin(), txns: txns.clone() };
        let (first, mut garbage) = (Arc::new(first), Garbage::default());
        garbage.published(&first);
        Self {
            generation: txns.get(&log.fence_id()).unwrap_or(0),
            log,
            tip: version,
            definition,
            files,
            txns,
            published: Arc::new(RwLock::new(first)),
            garbage,
            fenced: Fenced::default(),
            doubts: Vec::new(),
            confirmed: HashSet::new(),
            stale: false,
            checkpoint: None,
            checkpointed_at: version,
            collection: None,
        }
    }

    /// The generation of writers that this server is.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Commits `g + 1` alone. Losing the race against another writer means trying again above its generation, at the
    /// next version at once: a busy stream commits more often than its log can be loaded.
    async fn fence(&mut self) -> Result<()> {
        let fence_id = self.log.fence_id();
        let mut version = self.tip + 1;
        for _ in 0..FOREIGN_VERSIONS_MAX {
            let generation = self.generation + 1;
            let bytes = log::to_bytes(&[log::commit_info("FENCE", &[], true), log::txn(fence_id.clone(), generation)])?;
            let (is_ours, known) = match self.settle(version, &bytes).await? {
                Entry::Ours if version == self.tip + 1 => {
                    self.generation = generation;
                    self.txns.set(&fence_id, generation);
                    self.tip = version;
                    self.publish();
                    return Ok(());
                }
                Entry::Ours => (true, None),
                Entry::Foreign(foreign) => (false, self.generation_after(version, &foreign)),
            };
            if let Some(known) = known {
                self.generation = known;
                version += 1;
                continue;
            }
            // Versions were passed over, or this one says what we must know before we write: all of it again.
            let loaded = self.log.load().await?;
            self.generation = loaded.txns.get(&fence_id).unwrap_or(0);
            self.take(loaded);
            // Else somebody else came after us already.
            if is_ours && self.generation == generation {
                self.publish();
                return Ok(());
            }
            version = self.tip + 1;
        }
        Err(self.too_busy())
    }

    /// Works until it is closed or all handles of the table are gone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Commit(commit, reply) => {
                    if reply.is_closed() {
                        // The statement was cancelled while it waited.
                        self.discard(&commit.owned_paths()).await;
                        continue;
                    }
                    let result = AssertUnwindSafe(self.commit(&commit)).catch_unwind().await;
                    let result = result.unwrap_or_else(|_| {
                        // The entry may be in the log: keep the files, look at the log before the next command.
                        self.stale = true;
                        Err(Error::internal(format!("the writer of table \"{}\" panicked", self.log.name)))
                    });
                    drop(reply.send(result));
                    let has_started = self.checkpoint_if_due();
                    self.collect_if_due(has_started).await;
                }
                Command::Vacuum(vacuum, reply) => self.vacuum(vacuum, reply).await,
                Command::Close(reply) => {
                    commands.close();
                    while let Some(late) = commands.recv().await {
                        self.refuse(late).await;
                    }
                    self.finish().await;
                    // Nobody waits any more: fine.
                    let _ = reply.send(());
                    return;
                }
            }
        }
        self.finish().await;
    }

    /// Answers a command that came after the close.
    async fn refuse(&self, command: Command) {
        match command {
            Command::Commit(commit, reply) => {
                self.discard(&commit.owned_paths()).await;
                drop(reply.send(Err(closed(&self.log.name))));
            }
            Command::Vacuum(_, reply) => drop(reply.send(Err(closed(&self.log.name)))),
            Command::Close(reply) => {
                let _ = reply.send(());
            }
        }
    }

    async fn finish(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take() {
            drop(checkpoint.await);
        }
        self.finish_collection().await;
    }

    /// Rules 3 to 5. On an error the files are deleted, if it is certain that they are in no version.
    async fn commit(&mut self, commit: &Commit) -> Result<u64> {
        let result = self.try_commit(commit).await;
        if result.as_ref().is_err_and(|error| error.code != Code::Unavailable) {
            self.discard(&commit.owned_paths()).await;
        }
        result
    }

    /// Fails with `Unavailable` when the outcome is not known, with anything else when nothing was committed.
    fn try_commit<'a>(&'a mut self, commit: &'a Commit) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            failpoint::reach("log.before");
            for _ in 0..FOREIGN_VERSIONS_MAX {
                if self.stale {
                    self.reload().await.map_err(settle::certain)?;
                }
                // Before the fence: what the log has is a success, whoever has the table now.
                if self.is_taken(commit) {
                    return Ok(self.tip);
                }
                if let Some(fenced) = self.fenced.get() {
                    return Err(fenced.clone());
                }
                if commit.definition != self.definition {
                    return Err(Error::new(Code::Conflict, format!("table \"{}\" changed while rows were written to it", self.log.name))
                        .hint("Run the statement again."));
                }
                self.check_epoch(&commit.txns)?;
                let removed = self.replaced(commit)?;
                if commit.files.is_empty() && removed.is_empty() && commit.txns.is_empty() {
                    return Ok(self.tip);
                }
                if self.definition.append_only && !removed.is_empty() && commit.changes_rows() {
                    return Err(Error::new(Code::NotSupported, format!("table \"{}\" is append-only", self.log.name))
                        .detail("Its property \"delta.appendOnly\" is true: rows cannot be replaced."));
                }
                let version = self.tip + 1;
                let bytes = match self.doubts.iter().find(|doubt| doubt.is_of(commit)) {
                    // Asked again: the same bytes, which settle it whichever attempt gets there.
                    Some(doubt) => doubt.bytes.clone(),
                    None => {
                        self.check_doubts()?;
                        self.entry(commit, &removed)?
                    }
                };
                match self.settle(version, &bytes).await {
                    Ok(Entry::Ours) => {
                        failpoint::reach("log.after");
                        self.settle_doubts(version, &bytes).await;
                        // The caller learns it now.
                        self.forget_confirmed(commit);
                        for file in &removed {
                            self.remove(&file.path, version);
                        }
                        for file in &commit.files {
                            self.files.add(Arc::clone(file));
                        }
                        for (app_id, txn) in &commit.txns {
                            self.txns.set(app_id, *txn);
                        }
                        self.tip = version;
                        self.publish();
                        failpoint::reach("log.published");
                        return Ok(version);
                    }
                    Ok(Entry::Foreign(foreign)) => {
                        let settled = self.settle_doubts(version, &foreign).await;
                        self.absorb(version, &foreign, settled).map_err(settle::certain)?;
                    }
                    Err(error) => {
                        self.doubt(Doubt::new(version, bytes, commit));
                        return Err(error);
                    }
                }
            }
            Err(self.too_busy())
        })
    }

    /// True when the log has exactly these positions, or these files: the commit was in doubt, and is in the log.
    fn is_taken(&mut self, commit: &Commit) -> bool {
        let is_there = match (commit.txns.is_empty(), commit.files.is_empty()) {
            (false, _) => commit.txns.iter().all(|(app_id, version)| self.txns.get(app_id) == Some(*version)),
            (true, false) => commit.paths().all(|path| self.files.contains(path) || self.confirmed.contains(path)),
            (true, true) => false,
        };
        if is_there {
            self.forget_confirmed(commit);
        }
        is_there
    }

    fn forget_confirmed(&mut self, commit: &Commit) {
        for path in commit.paths() {
            self.confirmed.remove(path);
        }
    }

    /// Refuses an epoch that the log has with other positions.
    fn check_epoch(&self, txns: &[(String, i64)]) -> Result<()> {
        let epoch_id = self.log.txn_id("epoch");
        let epoch = txns.iter().find(|(app_id, _)| *app_id == epoch_id).map(|(_, epoch)| *epoch);
        match (epoch, self.txns.get(&epoch_id)) {
            (Some(new), Some(known)) if new <= known => {
                Err(Error::new(Code::Conflict, format!("epoch {new} of table \"{}\" was committed with other rows", self.log.name))
                    .detail(format!("The newest epoch in the log is {known}."))
                    .hint("Continue from the positions in the log."))
            }
            _ => Ok(()),
        }
    }

    /// The live files that a commit replaces, as of now.
    fn replaced(&self, commit: &Commit) -> Result<Vec<Arc<LiveFile>>> {
        Ok(match &commit.replace {
            Replace::Nothing => Vec::new(),
            Replace::Table => self.files.files().iter().cloned().collect(),
            Replace::Partitions(always) => {
                let partitions: HashSet<&Vec<ScalarValue>> = commit.files.iter().map(|file| &file.partition).chain(always).collect();
                self.files.files().iter().filter(|file| partitions.contains(&file.partition)).cloned().collect()
            }
            Replace::Rows(files) | Replace::SameRows(files) => {
                if let Some(gone) = files.iter().find(|file| !self.files.contains(&file.path)) {
                    return Err(Error::new(Code::Conflict, format!("rows of table \"{}\" changed meanwhile", self.log.name))
                        .detail(format!("File \"{}\" is not in the table any more.", gone.path))
                        .hint("Run the statement again."));
                }
                files.clone()
            }
        })
    }

    fn entry(&self, commit: &Commit, removed: &[Arc<LiveFile>]) -> Result<Bytes> {
        let is_append = commit.replace == Replace::Nothing;
        let mode = if is_append { "Append" } else { "Overwrite" };
        let changes_rows = commit.changes_rows();
        let mut actions = vec![log::commit_info(commit.operation, &[("mode", mode)], is_append)];
        actions.extend(commit.txns.iter().map(|(app_id, version)| log::txn(app_id.clone(), *version)));
        actions.extend(removed.iter().map(|file| log::remove(file, &self.definition, changes_rows)));
        actions.extend(commit.files.iter().map(|file| log::add(file, &self.definition, changes_rows)));
        log::to_bytes(&actions)
    }

    /// No automatic restart: else two servers would fence each other in turn.
    fn set_fenced(&mut self, detail: String) {
        tracing::error!(table = %self.log.name, detail, "table taken over by another server");
        let error = Error::new(Code::Conflict, format!("table \"{}\" was taken over by another server", self.log.name))
            .detail(detail)
            .hint("Stop the other server, then restart this one.");
        // Set before: the first reason stays.
        let _ = self.fenced.set(error);
    }

    /// Takes a file out of the table; it stays on disk for readers.
    fn remove(&mut self, path: &Path, version: u64) {
        if let Some(file) = self.files.remove(path) {
            self.garbage.removed(&file, version);
        }
    }

    fn take(&mut self, loaded: Loaded) {
        let Loaded { version, definition, files, txns } = loaded;
        for file in self.files.files().iter().filter(|file| !files.contains(&file.path)) {
            self.garbage.removed(file, version);
        }
        (self.tip, self.definition, self.files, self.txns) = (version, definition, files, txns);
        self.garbage.restored(&self.files);
    }

    fn version(&self) -> Version {
        let (definition, txns) = (Arc::clone(&self.definition), self.txns.clone());
        Version { number: self.tip, definition, files: self.files.pin(), txns }
    }

    fn publish(&mut self) {
        let version = Arc::new(self.version());
        self.garbage.published(&version);
        // A poisoned lock only says that a reader panicked while it cloned an Arc: the value is whole.
        *self.published.write().unwrap_or_else(std::sync::PoisonError::into_inner) = version;
    }

    /// Best effort: what stays is swept at the next start.
    async fn discard(&self, paths: &[Path]) {
        drop(sweep::delete(&self.log, paths).await);
    }

    /// Rule 6; true when a checkpoint was started. One that came too early for the one before comes with a later commit.
    fn checkpoint_if_due(&mut self) -> bool {
        let running = self.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.is_finished());
        let is_due = checkpoint::is_due(self.tip, self.checkpointed_at, &self.definition);
        if !is_due || running || self.fenced.get().is_some() {
            return false;
        }
        self.checkpointed_at = self.tip;
        let work = checkpoint::write(self.log.clone(), self.version());
        self.checkpoint = Some(task::spawn(format!("checkpoint {}", self.log.name), work));
        true
    }

    fn too_busy(&self) -> Error {
        Error::new(Code::Conflict, format!("table \"{}\" is being written by another program all the time", self.log.name))
    }
}

/// The table was dropped, or the server stops.
pub fn closed(name: &str) -> Error {
    Error::new(Code::Conflict, format!("table \"{name}\" was closed while rows were written to it"))
}
