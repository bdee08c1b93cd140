//! Managed tables: Parquet files + a Delta log, written by one committer per table.
//!
//! | file | what |
//! | --- | --- |
//! | `schema` | types, names and log features that a table can have |
//! | `partition` | partition values as text, value, directory |
//! | `stats` | statistics of a file |
//! | `live_files` | the files of a version, in memory |
//! | `log` | entries and actions of the Delta log |
//! | `committer` | the one writer: fence, commit, read back |
//! | `checkpoint`, `sweep` | background work behind commits and before them |
//! | `snapshot` | a version as a table provider |
//! | `write`, `files` | INSERT: rows to files to a commit |

mod checkpoint;
mod committer;
mod files;
mod live_files;
mod log;
mod partition;
mod schema;
mod snapshot;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;
mod write;

pub use schema::storable_schema;

use self::committer::{Command, Commit, Committer, Published, Version, closed};
use self::files::UnfinishedFiles;
use self::log::TableLog;
use self::schema::Definition;
use self::snapshot::Snapshot;
use crate::error::{Code, Error, Result};
use crate::storage::{Storage, durable};
use crate::tables::WriteMode;
use crate::telemetry::task;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;
use object_store::ObjectStore;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Commands that wait for one committer.
const COMMANDS_MAX: usize = 64;

type OpenTables = HashMap<String, Arc<OnceCell<Arc<ManagedTable>>>>;

/// All managed tables that are open, by table id.
#[derive(Debug)]
pub struct ManagedTables {
    store: Arc<dyn ObjectStore>,
    store_url: ObjectStoreUrl,
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
        Arc::new(Self { store, store_url, tables: Mutex::default() })
    }

    /// Writes version 0 of the log in a new directory: protocol, metadata and the first fence. The table is opened.
    pub async fn create(
        &self,
        id: &str,
        name: &str,
        directory: &Path,
        schema: SchemaRef,
        partition_columns: Vec<String>,
        properties: Vec<(String, String)>,
    ) -> Result<Arc<ManagedTable>> {
        const FIRST_GENERATION: i64 = 1;
        let (protocol, metadata) = schema::new_table(name, &schema, &partition_columns, properties)?;
        let log = self.log(id, name, directory)?;
        let exists = || {
            Error::new(Code::DuplicateTable, format!("directory \"{}\" already holds a table", directory.display()))
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
        self.cell(id).get_or_try_init(|| ManagedTable::start(log, Some(FIRST_GENERATION))).await.cloned()
    }

    /// The open table; the first call loads its log and fences older writers (commit.md, protocol 1 and 2).
    pub async fn open(&self, id: &str, name: &str, directory: &Path) -> Result<Arc<ManagedTable>> {
        let cell = self.cell(id);
        cell.get_or_try_init(|| async {
            let table = ManagedTable::start(self.log(id, name, directory)?, None).await?;
            // After the fence, before anybody of this process can write.
            sweep::leftovers(name, directory).await;
            Ok(table)
        })
        .await
        .cloned()
    }

    /// Closes the table; deletes its directory when asked. Commits that were sent before are finished.
    pub async fn close(&self, id: &str, delete_files_at: Option<&Path>) -> Result<()> {
        let cell = self.tables().remove(id);
        let table = cell.and_then(|cell| cell.get().cloned());
        if let Some(table) = &table {
            table.close().await;
        }
        let Some(directory) = delete_files_at.map(Path::to_path_buf) else { return Ok(()) };
        let removal = tokio::task::spawn_blocking(move || {
            durable::remove_dir_all(&directory).map_err(|error| durable::io_error("remove", &directory, &error))
        });
        removal.await.map_err(|error| Error::internal(format!("removal of a table directory: {error}")))?
    }

    /// Closes all tables, for the end of the server: waits for their commits and their background work.
    pub async fn close_all(&self) {
        let cells: Vec<_> = self.tables().drain().map(|(_, cell)| cell).collect();
        for table in cells.iter().filter_map(|cell| cell.get()) {
            table.close().await;
        }
    }

    /// Ends every table's committer, after what it was given before.
    pub async fn shutdown(&self) {
        let ids: Vec<String> = self.tables().keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.close(&id, None).await {
                tracing::warn!(table = %id, %error, "could not close a table");
            }
        }
    }

    fn log(&self, id: &str, name: &str, directory: &Path) -> Result<TableLog> {
        TableLog::new(id, name, directory, Arc::clone(&self.store), self.store_url.clone())
    }

    fn cell(&self, id: &str) -> Arc<OnceCell<Arc<ManagedTable>>> {
        Arc::clone(self.tables().entry(id.to_owned()).or_default())
    }

    fn tables(&self) -> std::sync::MutexGuard<'_, OpenTables> {
        // Each change is one call of the map: a panic of another holder leaves it whole.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open managed table.
#[derive(Debug)]
pub struct ManagedTable {
    log: TableLog,
    generation: i64,
    published: Published,
    commands: mpsc::Sender<Command>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl ManagedTable {
    async fn start(log: TableLog, created_generation: Option<i64>) -> Result<Arc<Self>> {
        let (committer, published) = Committer::open(log.clone(), created_generation).await?;
        let generation = committer.generation();
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let task = task::spawn(format!("committer {}", log.name), committer.run(queue));
        Ok(Arc::new(Self { log, generation, published, commands, committer: Mutex::new(Some(task)) }))
    }

    /// The rows of the newest committed version, pinned: a provider whose scans all see the same files.
    pub fn snapshot(&self) -> Arc<dyn TableProvider> {
        Arc::new(Snapshot::new(self.log.clone(), self.newest()))
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
        let newest = self.newest();
        let fields = newest.definition.partition_fields();
        let mut by_text: BTreeMap<String, &Vec<ScalarValue>> = BTreeMap::new();
        for file in newest.files.iter() {
            by_text.entry(crate::tables::hive::partition_text(&fields, &file.partition)).or_insert(&file.partition);
        }
        let mut partitions = by_text.into_iter().collect::<Vec<_>>();
        partitions.sort_by(|(_, left), (_, right)| left.partial_cmp(right).unwrap_or(std::cmp::Ordering::Equal));
        partitions.into_iter().map(|(text, _)| text).collect()
    }

    /// Names of the partition columns, in partition order.
    pub fn partition_columns(&self) -> Vec<String> {
        self.newest().definition.partition_columns()
    }

    fn name(&self) -> &str {
        &self.log.name
    }

    fn log(&self) -> &TableLog {
        &self.log
    }

    /// The generation of writers that this server is: part of the names of its files.
    fn generation(&self) -> i64 {
        self.generation
    }

    fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.newest().definition)
    }

    fn newest(&self) -> Arc<Version> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes finished files visible. Until the committer took them, dropping this call deletes them.
    async fn commit(&self, commit: Commit, unfinished: UnfinishedFiles) -> Result<u64> {
        let (reply, answer) = oneshot::channel();
        let Ok(place) = self.commands.reserve().await else { return Err(closed(self.name())) };
        place.send(Command::Commit(commit, reply));
        unfinished.hand_over();
        answer.await.map_err(|_| closed(self.name()))?
    }

    async fn close(&self) {
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
