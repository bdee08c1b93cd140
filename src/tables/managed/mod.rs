//! Managed tables: Parquet files + a Delta log, written by one committer per table.
//!
//! | file | what |
//! | --- | --- |
//! | `schema` | types, names and log features that a table can have |
//! | `partition` | partition values as text, value, directory |
//! | `stats` | statistics of a file |
//! | `live_files` | the files of a version, in memory |
//! | `log` | entries and actions of the Delta log |
//! | `transactions` | positions and generations in the log |
//! | `version`, `commit` | what a commit makes, what it is asked for |
//! | `committer` | the one writer: fence, commit, read back |
//! | `checkpoint`, `json_checkpoint`, `sweep` | background work behind commits and before them |
//! | `snapshot` | a version as a table provider |
//! | `external` | Delta tables of other programs, read only |
//! | `write`, `files` | INSERT: rows to files to a commit |
//! | `epoch` | a stream's commit: rows and positions |
//! | `compact` | OPTIMIZE: small files become large ones |
//! | `places` | DELETE, UPDATE: the files of rows that change are written again |
//! | `removal` | TRUNCATE, retention: files are removed |
//! | `reservation` | places of tables that are being made |
//! | `garbage` | removed files, until nobody reads them |

mod checkpoint;
mod commit;
mod committer;
mod compact;
mod epoch;
mod external;
mod files;
mod garbage;
mod json_checkpoint;
mod live_files;
mod log;
mod partition;
mod places;
mod removal;
mod reservation;
mod schema;
mod snapshot;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;
mod transactions;
mod version;
mod write;

pub use compact::OptimizeReport;
pub use epoch::{EpochFiles, EpochWriter};
pub use external::{DeltaTables, DeltaVersion};
pub use garbage::{GRACE, VacuumReport};
pub use places::{FILE_COLUMN, ROW_COLUMN};
pub use reservation::Reserved;
pub use schema::{Layout, NewTable, storable_schema};
pub use version::Pin;

use self::commit::Commit;
use self::committer::{Command, Committer, Fenced, Opened, Vacuum, closed};
use self::compact::Merged;
use self::files::UnfinishedFiles;
use self::log::TableLog;
use self::reservation::Reservations;
use self::schema::Definition;
use self::snapshot::Snapshot;
use self::version::{Published, Version};
use crate::error::{Code, Error, Result};
use crate::storage::{Place, Storage, durable};
use crate::tables::WriteMode;
use crate::telemetry::task;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Commands that wait for one committer.
const COMMANDS_MAX: usize = 64;

/// Compactions at the same time, over all tables.
const COMPACTIONS_MAX: usize = 1;

type OpenTables = HashMap<String, Arc<OnceCell<Arc<ManagedTable>>>>;

/// All managed tables that are open, by table id.
#[derive(Debug)]
pub struct ManagedTables {
    store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
    /// Who has a turn may merge files: one table at a time.
    turns: Arc<Semaphore>,
    reservations: Reservations,
    /// A cell is filled by the first call; others wait for it.
    tables: Mutex<OpenTables>,
}

impl ManagedTables {
    #[expect(clippy::needless_pass_by_value, reason = "shared like everything that a server is made of")]
    pub fn new(storage: Arc<Storage>) -> Arc<Self> {
        Self::with_store(storage.store(), storage.store_url())
    }

    /// Over any store that has absolute paths of the machine.
    fn with_store(store: Arc<dyn ObjectStore>, store_url: ObjectStoreUrl) -> Arc<Self> {
        let turns = Arc::new(Semaphore::new(COMPACTIONS_MAX));
        Arc::new(Self { store, store_url, turns, reservations: Reservations::default(), tables: Mutex::default() })
    }

    /// Keeps a place for a table that is being made; `None` when one in it or around it is being made already.
    pub fn reserve(&self, place: &Place) -> Option<Reserved> {
        self.reservations.reserve(place)
    }

    /// Writes version 0 of the log in a new directory: protocol, metadata and the first fence. The table is opened.
    pub async fn create(&self, id: &str, name: &str, place: impl Into<Place>, table: NewTable) -> Result<Arc<ManagedTable>> {
        const FIRST_GENERATION: i64 = 1;
        let (protocol, metadata) = schema::new_table(name, table)?;
        let place = place.into();
        let log = self.log(id, name, &place)?;
        let exists = || {
            Error::new(Code::DuplicateTable, format!("directory \"{}\" already holds a table", place.text()))
                .hint("Use another location, or remove the directory.")
        };
        if log.read(0).await?.is_some() {
            return Err(exists());
        }
        let entry = log::to_bytes(&[
            log::commit_info("CREATE TABLE", &[], true),
            deltalake_core::kernel::Action::Protocol(protocol),
            deltalake_core::kernel::Action::Metadata(metadata),
            log::txn(log.fence_id(), FIRST_GENERATION),
        ])?;
        if let Err(error) = log.write(0, entry.clone()).await {
            match log.read(0).await? {
                Some(found) if found == entry => {}
                Some(_) => return Err(exists()),
                None => return Err(Error::new(Code::Io, format!("could not create table \"{name}\": {error}"))),
            }
        }
        self.cell(id).get_or_try_init(|| ManagedTable::start(log, Some(FIRST_GENERATION), &self.turns)).await.cloned()
    }

    /// The open table; the first call loads its log and fences older writers (commit.md, protocol 1 and 2).
    pub async fn open(&self, id: &str, name: &str, place: impl Into<Place>) -> Result<Arc<ManagedTable>> {
        let (cell, place) = (self.cell(id), place.into());
        cell.get_or_try_init(|| async {
            let table = ManagedTable::start(self.log(id, name, &place)?, None, &self.turns).await?;
            // After the fence, before anybody of this process can write. A bucket shows no half-written files.
            if let Place::Local(directory) = &place {
                sweep::leftovers(name, directory).await;
            }
            Ok(table)
        })
        .await
        .cloned()
    }

    /// Closes the table; deletes its directory when asked. Commits that were sent before are finished.
    pub fn close<'a>(&'a self, id: &'a str, delete_files_at: Option<&'a Place>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let cell = self.tables().remove(id);
            let table = cell.and_then(|cell| cell.get().cloned());
            if let Some(table) = &table {
                table.close().await;
            }
            let directory = match delete_files_at.cloned() {
                None => return Ok(()),
                Some(Place::Local(directory)) => directory,
                Some(Place::Bucket(place)) => return place.remove().await,
            };
            let removal = tokio::task::spawn_blocking(move || {
                durable::remove_dir_all(&directory).map_err(|error| durable::io_error("remove", &directory, &error))
            });
            removal.await.map_err(|error| Error::internal(format!("removal of a table directory: {error}")))?
        })
    }

    /// Closes all tables, for the end of the server: waits for their commits and their background work.
    pub async fn shutdown(&self) {
        let ids: Vec<String> = self.tables().keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.close(&id, None).await {
                tracing::warn!(table = %id, %error, "could not close a table");
            }
        }
    }

    fn log(&self, id: &str, name: &str, place: &Place) -> Result<TableLog> {
        match place {
            Place::Local(directory) => TableLog::new(id, name, directory, Arc::clone(&self.store), self.store_url.clone()),
            Place::Bucket(place) => TableLog::in_bucket(id, name, place),
        }
    }

    fn cell(&self, id: &str) -> Arc<OnceCell<Arc<ManagedTable>>> {
        Arc::clone(self.tables().entry(id.to_owned()).or_default())
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, OpenTables> {
        // Each change is one call of the map: a panic of another holder leaves it whole.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partitions of a version that hold rows: `year=2001/month=1`, sorted.
fn partitions(version: &Version) -> Vec<String> {
    let fields = version.definition.partition_fields();
    let mut by_text: BTreeMap<String, &Vec<ScalarValue>> = BTreeMap::new();
    for file in version.files.iter() {
        by_text.entry(crate::tables::hive::partition_text(&fields, &file.partition)).or_insert(&file.partition);
    }
    let mut partitions = by_text.into_iter().collect::<Vec<_>>();
    partitions.sort_by(|(_, left), (_, right)| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
    partitions.into_iter().map(|(text, _)| text).collect()
}

/// An open managed table.
#[derive(Debug)]
pub struct ManagedTable {
    log: TableLog,
    generation: i64,
    published: Published,
    commands: mpsc::Sender<Command>,
    committer: Mutex<Option<JoinHandle<()>>>,
    fenced: Fenced,
    turns: Arc<Semaphore>,
    /// The compaction that a statement started.
    compaction: Mutex<Option<JoinHandle<()>>>,
    /// A merge whose commit is in doubt.
    pending: Mutex<Option<Merged>>,
    /// Merged files that shall go and are still there.
    unwanted: Mutex<Vec<object_store::path::Path>>,
    /// The version at which the files were last looked at for a compaction.
    checked_at: AtomicU64,
    closing: CancellationToken,
}

impl ManagedTable {
    fn start<'a>(log: TableLog, created_generation: Option<i64>, turns: &'a Arc<Semaphore>) -> BoxFuture<'a, Result<Arc<Self>>> {
        Box::pin(async move {
            let Opened { committer, published, fenced, unwanted } = Committer::open(log.clone(), created_generation).await?;
            let generation = committer.generation();
            let (commands, queue) = mpsc::channel(COMMANDS_MAX);
            let task = task::spawn(format!("committer {}", log.name), committer.run(queue));
            Ok(Arc::new(Self {
                log,
                generation,
                published,
                commands,
                committer: Mutex::new(Some(task)),
                fenced,
                turns: Arc::clone(turns),
                compaction: Mutex::default(),
                pending: Mutex::default(),
                unwanted: Mutex::new(unwanted),
                checked_at: AtomicU64::new(0),
                closing: CancellationToken::new(),
            }))
        })
    }

    /// The rows of the newest committed version, pinned: a provider whose scans all see the same files.
    pub fn snapshot(&self) -> Arc<dyn TableProvider> {
        self.snapshot_of(&self.pin())
    }

    /// Holds the newest committed version: its files stay as long as the pin lives.
    pub fn pin(&self) -> Pin {
        Pin(self.newest())
    }

    /// The rows of a pinned version.
    pub fn snapshot_of(&self, pin: &Pin) -> Arc<dyn TableProvider> {
        Arc::new(Snapshot::new(self.log.clone(), Arc::clone(&pin.0)))
    }

    /// Like `HiveTable::insert_plan`: columns in table order (partition columns at their place), one commit.
    pub fn insert_plan(self: &Arc<Self>, input: Arc<dyn ExecutionPlan>, mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
        write::insert_plan(self, input, mode)
    }

    /// The newest committed version.
    pub fn version(&self) -> u64 {
        self.newest().number
    }

    /// All columns, in table order.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.newest().definition.schema)
    }

    /// The partitions that hold rows now: `year=2001/month=1`, sorted.
    pub fn partitions(&self) -> Vec<String> {
        partitions(&self.newest())
    }

    /// Names of the partition columns, in partition order.
    pub fn partition_columns(&self) -> Vec<String> {
        self.newest().definition.partition_columns()
    }

    /// Why this server may not write the table any more: another one has taken it over.
    pub fn fenced(&self) -> Option<&Error> {
        self.fenced.get()
    }

    /// VACUUM: deletes files that were removed from the table before `retain` ago and that nobody here reads.
    pub fn vacuum<'a>(&'a self, retain: Duration, dry_run: bool) -> BoxFuture<'a, Result<VacuumReport>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            self.commands.send(Command::Vacuum(Vacuum { retain, dry_run }, reply)).await.map_err(|_| closed(self.name()))?;
            answer.await.map_err(|_| closed(self.name()))?
        })
    }

    /// `database.table`, for messages.
    pub fn name(&self) -> &str {
        &self.log.name
    }

    /// Paths in it begin at the directory of the table.
    pub(in crate::tables) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.log.store
    }

    /// Under which the query engine knows the store of [`Self::absolute`] paths.
    pub(in crate::tables) fn store_url(&self) -> &ObjectStoreUrl {
        &self.log.store_url
    }

    /// A path of the table as the query engine finds it.
    pub(in crate::tables) fn absolute(&self, path: &object_store::path::Path) -> object_store::path::Path {
        self.log.absolute(path)
    }

    fn log(&self) -> &TableLog {
        &self.log
    }

    /// The generation of writers that this server is: part of the names of its files.
    pub(in crate::tables) fn generation(&self) -> i64 {
        self.generation
    }

    fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.newest().definition)
    }

    fn newest(&self) -> Arc<Version> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes finished files visible. Until the committer took them, dropping this call deletes them.
    fn commit<'a>(&'a self, commit: Commit, unfinished: UnfinishedFiles) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let Ok(place) = self.commands.reserve().await else { return Err(closed(self.name())) };
            place.send(Command::Commit(commit, reply));
            unfinished.hand_over();
            answer.await.map_err(|_| closed(self.name()))?
        })
    }

    /// Commits files that the caller keeps until it knows the outcome.
    async fn send(&self, commit: Commit) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Commit(commit, reply)).await.map_err(|_| closed(self.name()))?;
        answer.await.unwrap_or_else(|_| Err(Error::internal(format!("the writer of table \"{}\" has ended", self.name()))))
    }

    fn unfinished(&self, paths: Vec<object_store::path::Path>) -> UnfinishedFiles {
        UnfinishedFiles::new(self.log.clone(), paths)
    }

    async fn close(&self) {
        self.closing.cancel();
        let compaction = self.compaction.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(compaction) = compaction {
            drop(compaction.await);
        }
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            drop(answer.await);
        }
        let task = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            drop(task.await);
        }
    }
}
