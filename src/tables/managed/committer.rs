//! The one writer of a table: a task that turns finished data files into versions of the log.
//!
//! ```text
//! INSERT --files--> Commit ---+
//! (later) ingest, compaction -+--> queue --> Committer --v = tip + 1--> _delta_log/v.json --> published version
//! ```
//! The rules (what is written when, what an error means, who may delete files) are those of the commit
//! protocol in `ARCHITECTURE.md`; each rule is named where it is kept.

use super::live_files::{LiveFile, LiveFiles, LiveFilesEditor};
use super::log::{self, Entry, Loaded, TableLog};
use super::schema::Definition;
use super::{checkpoint, sweep};
use crate::error::{Code, Error, Result};
use crate::telemetry::task;
use bytes::Bytes;
use datafusion::common::ScalarValue;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use futures::FutureExt;
use object_store::path::Path;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Tries to settle what is at one version before the answer is "unknown".
const SETTLE_ATTEMPTS: u32 = 6;
const SETTLE_DELAY_MS: u64 = 5;

/// Foreign versions that one commit gets out of the way of.
const FOREIGN_VERSIONS_MAX: u32 = 1_000;

/// A committed version: what a query pins.
#[derive(Debug, Clone)]
pub struct Version {
    pub number: u64,
    pub definition: Arc<Definition>,
    pub files: LiveFiles,
}

/// The newest committed version; the committer replaces it, readers clone it.
pub type Published = Arc<RwLock<Arc<Version>>>;

/// What a commit removes, decided at the moment of the commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Replace {
    Nothing,
    Table,
    /// Each partition that gets a file, and these.
    Partitions(Vec<Vec<ScalarValue>>),
}

/// Finished data files that shall become visible together.
#[derive(Debug)]
pub struct Commit {
    /// What the files were written for; a table that changed meanwhile refuses them.
    pub definition: Arc<Definition>,
    pub files: Vec<LiveFile>,
    pub replace: Replace,
}

/// What the committer is asked to do.
#[derive(Debug)]
pub enum Command {
    /// From here on the files belong to the committer: it deletes them if they can never become visible.
    Commit(Commit, oneshot::Sender<Result<u64>>),
    /// Stop after what came before.
    Close(oneshot::Sender<()>),
}

/// A version that we tried to write without learning what became of it.
#[derive(Debug)]
struct Doubt {
    version: u64,
    bytes: Bytes,
    files: Vec<Path>,
}

/// The one writer of a table's log.
#[derive(Debug)]
pub struct Committer {
    log: TableLog,
    generation: i64,
    tip: u64,
    definition: Arc<Definition>,
    files: LiveFilesEditor,
    published: Published,
    /// Set for good when another writer took the table over.
    fenced: Option<Error>,
    doubt: Option<Doubt>,
    /// The state in memory may lag behind the log (a panic, an entry that we cannot apply).
    stale: bool,
    checkpoint: Option<JoinHandle<()>>,
}

impl Committer {
    /// Rules 1 and 2: takes over a loaded table. Writes the fence unless version 0 was just written by us with it in.
    pub async fn open(log: TableLog, created_generation: Option<i64>) -> Result<(Self, Published)> {
        let loaded = log.load().await?;
        let older = loaded.generation;
        let mut committer = Self::of(log, loaded);
        match created_generation {
            Some(generation) => committer.generation = generation,
            None => {
                committer.fence().await?;
                sweep::sweep(&committer.log, older, committer.files.files()).await;
            }
        }
        let published = Arc::clone(&committer.published);
        Ok((committer, published))
    }

    fn of(log: TableLog, loaded: Loaded) -> Self {
        let Loaded { version, definition, files, generation } = loaded;
        let first = Version { number: version, definition: Arc::clone(&definition), files: files.pin() };
        let published = Arc::new(RwLock::new(Arc::new(first)));
        Self { log, generation, tip: version, definition, files, published, fenced: None, doubt: None, stale: false, checkpoint: None }
    }

    /// The generation of writers that this server is.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Commits `g + 1` alone. Losing the race against another writer means starting again above its generation.
    async fn fence(&mut self) -> Result<()> {
        for _ in 0..FOREIGN_VERSIONS_MAX {
            let generation = self.generation + 1;
            let bytes = log::to_bytes(&[log::commit_info("FENCE", &[], true), log::txn(self.log.fence_id(), generation)])?;
            let version = self.tip + 1;
            match self.settle(version, &bytes).await? {
                Entry::Ours => {
                    self.generation = generation;
                    self.tip = version;
                    self.publish();
                    return Ok(());
                }
                Entry::Foreign(_) => {
                    let loaded = self.log.load().await?;
                    (self.tip, self.generation) = (loaded.version, loaded.generation);
                    (self.definition, self.files) = (loaded.definition, loaded.files);
                }
            }
        }
        Err(self.too_busy())
    }

    /// Works until it is closed or all handles of the table are gone.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Commit(commit, reply) => {
                    let paths: Vec<Path> = commit.files.iter().map(|file| file.path.clone()).collect();
                    if reply.is_closed() {
                        // The statement was cancelled while it waited.
                        self.discard(&paths).await;
                        continue;
                    }
                    let result = AssertUnwindSafe(self.commit(commit)).catch_unwind().await;
                    let result = result.unwrap_or_else(|_| {
                        // The entry may be in the log: keep the files, look at the log before the next command.
                        self.stale = true;
                        Err(Error::internal(format!("the writer of table \"{}\" panicked", self.log.name)))
                    });
                    drop(reply.send(result));
                    self.checkpoint_if_due();
                }
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
                self.discard(&commit.files.into_iter().map(|file| file.path).collect::<Vec<_>>()).await;
                drop(reply.send(Err(closed(&self.log.name))));
            }
            Command::Close(reply) => {
                let _ = reply.send(());
            }
        }
    }

    async fn finish(&mut self) {
        if let Some(checkpoint) = self.checkpoint.take() {
            drop(checkpoint.await);
        }
    }

    /// Rules 3 to 5. On an error the files are deleted, if it is certain that they are in no version.
    async fn commit(&mut self, commit: Commit) -> Result<u64> {
        let paths: Vec<Path> = commit.files.iter().map(|file| file.path.clone()).collect();
        let files: Vec<Arc<LiveFile>> = commit.files.into_iter().map(Arc::new).collect();
        let result = self.try_commit(&commit.definition, &files, &commit.replace).await;
        if result.is_err() && self.doubt.as_ref().is_none_or(|doubt| doubt.files != paths) {
            self.discard(&paths).await;
        }
        result
    }

    async fn try_commit(&mut self, definition: &Arc<Definition>, files: &[Arc<LiveFile>], replace: &Replace) -> Result<u64> {
        for _ in 0..FOREIGN_VERSIONS_MAX {
            if self.stale {
                self.reload().await?;
            }
            if let Some(fenced) = &self.fenced {
                return Err(fenced.clone());
            }
            if definition != &self.definition {
                return Err(Error::new(Code::Conflict, format!("table \"{}\" changed while rows were written to it", self.log.name))
                    .hint("Run the statement again."));
            }
            let removed = self.replaced(files, replace);
            if files.is_empty() && removed.is_empty() {
                return Ok(self.tip);
            }
            if self.definition.append_only && !removed.is_empty() {
                return Err(Error::new(Code::NotSupported, format!("table \"{}\" is append-only", self.log.name))
                    .detail("Its property \"delta.appendOnly\" is true: rows cannot be replaced."));
            }
            let bytes = self.entry(files, &removed, replace)?;
            let version = self.tip + 1;
            match self.settle(version, &bytes).await {
                Ok(Entry::Ours) => {
                    self.settle_doubt(version, &bytes).await;
                    for file in &removed {
                        self.files.remove(&file.path);
                    }
                    for file in files {
                        self.files.add(Arc::clone(file));
                    }
                    self.tip = version;
                    self.publish();
                    return Ok(version);
                }
                Ok(Entry::Foreign(foreign)) => {
                    self.settle_doubt(version, &foreign).await;
                    self.absorb(version, &foreign)?;
                }
                Err(error) => {
                    // An older doubt about the same version stays open too: its files are kept on disk until the
                    // next start sweeps them, for only one doubt is remembered.
                    let paths = files.iter().map(|file| file.path.clone()).collect();
                    self.doubt = Some(Doubt { version, bytes, files: paths });
                    return Err(error);
                }
            }
        }
        Err(self.too_busy())
    }

    /// The live files that a commit replaces, as of now.
    fn replaced(&self, files: &[Arc<LiveFile>], replace: &Replace) -> Vec<Arc<LiveFile>> {
        match replace {
            Replace::Nothing => Vec::new(),
            Replace::Table => self.files.files().iter().cloned().collect(),
            Replace::Partitions(always) => {
                let partitions: HashSet<&Vec<ScalarValue>> = files.iter().map(|file| &file.partition).chain(always).collect();
                self.files.files().iter().filter(|file| partitions.contains(&file.partition)).cloned().collect()
            }
        }
    }

    fn entry(&self, files: &[Arc<LiveFile>], removed: &[Arc<LiveFile>], replace: &Replace) -> Result<Bytes> {
        let mode = if *replace == Replace::Nothing { "Append" } else { "Overwrite" };
        // Streams add their offsets here, as txn actions, in the same entry as the files.
        let mut actions = vec![log::commit_info("WRITE", &[("mode", mode)], *replace == Replace::Nothing)];
        actions.extend(removed.iter().map(|file| log::remove(file, &self.definition)));
        actions.extend(files.iter().map(|file| log::add(file, &self.definition)));
        log::to_bytes(&actions)
    }

    /// Rule 4: writes a version and finds out what is there. An error means that this could not be found out.
    async fn settle(&self, version: u64, bytes: &Bytes) -> Result<Entry> {
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
    }

    /// A version that we were in doubt about exists now: it is ours (and gets applied like a foreign one), or our
    /// bytes can never become that version, and the files can go.
    async fn settle_doubt(&mut self, version: u64, found: &Bytes) {
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.version <= version) {
            if doubt.version == version && doubt.bytes == *found {
                tracing::warn!(table = %self.log.name, version, "commit in doubt was written");
            } else {
                self.discard(&doubt.files).await;
            }
        }
    }

    /// Rule 5: takes over a version that somebody else wrote.
    fn absorb(&mut self, version: u64, bytes: &Bytes) -> Result<()> {
        let Ok(actions) = get_actions(version, bytes) else {
            self.stale = true;
            return Ok(());
        };
        let fence_id = self.log.fence_id();
        for action in &actions {
            match action {
                Action::Txn(txn) if txn.app_id == fence_id && txn.version > self.generation => {
                    self.set_fenced(txn.version);
                    return Ok(());
                }
                Action::Protocol(_) | Action::Metadata(_) => {
                    self.stale = true;
                    return Ok(());
                }
                _ => {}
            }
        }
        for action in &actions {
            if let Action::Remove(remove) = action {
                self.files.remove(&self.log.data_path(&remove.path)?);
            }
        }
        for action in &actions {
            if let Action::Add(add) = action {
                let file = self.log.live_file(add, &self.definition).inspect_err(|_| self.stale = true)?;
                self.files.add(Arc::new(file));
            }
        }
        tracing::info!(table = %self.log.name, version, "foreign commit taken over");
        self.tip = version;
        self.publish();
        Ok(())
    }

    /// Reads the log again when memory and log may differ.
    async fn reload(&mut self) -> Result<()> {
        let loaded = self.log.load().await?;
        if loaded.generation > self.generation {
            self.set_fenced(loaded.generation);
            return Ok(());
        }
        if let Some(version) = self.doubt.as_ref().map(|doubt| doubt.version).filter(|version| *version <= loaded.version) {
            // A version that is gone was cleaned after a checkpoint; then the loaded list tells.
            match self.log.read(version).await? {
                Some(found) => self.settle_doubt(version, &found).await,
                None => self.doubt = None,
            }
        }
        (self.tip, self.definition, self.files) = (loaded.version, loaded.definition, loaded.files);
        self.stale = false;
        self.publish();
        Ok(())
    }

    /// No automatic restart: else two servers would fence each other in turn.
    fn set_fenced(&mut self, generation: i64) {
        tracing::error!(table = %self.log.name, mine = self.generation, theirs = generation, "table taken over by another server");
        let error = Error::new(Code::Conflict, format!("table \"{}\" was taken over by another server", self.log.name))
            .detail(format!("This server writes as generation {}, the log has generation {generation}.", self.generation))
            .hint("Stop the other server, then restart this one.");
        self.fenced = Some(error);
    }

    fn publish(&self) {
        let version = Version { number: self.tip, definition: Arc::clone(&self.definition), files: self.files.pin() };
        // A poisoned lock only says that a reader panicked while it cloned an Arc: the value is whole.
        *self.published.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(version);
    }

    /// Best effort: what stays is swept at the next start.
    async fn discard(&self, paths: &[Path]) {
        sweep::delete(&self.log, paths).await;
    }

    /// Rule 6.
    fn checkpoint_if_due(&mut self) {
        let running = self.checkpoint.as_ref().is_some_and(|checkpoint| !checkpoint.is_finished());
        if checkpoint::is_due(self.tip) && !running && self.fenced.is_none() {
            let work = checkpoint::write(self.log.clone(), self.tip, self.files.pin());
            self.checkpoint = Some(task::spawn(format!("checkpoint {}", self.log.name), work));
        }
    }

    fn too_busy(&self) -> Error {
        Error::new(Code::Conflict, format!("table \"{}\" is being written by another program all the time", self.log.name))
    }
}

/// The table was dropped, or the server stops.
pub fn closed(name: &str) -> Error {
    Error::new(Code::Conflict, format!("table \"{name}\" was closed while rows were written to it"))
}
