//! The Delta log of one table: load it, read and write one entry, name the actions we write.

use super::live_files::{LiveFile, LiveFilesEditor};
use super::partition;
use super::schema::Definition;
use super::stats::FileStats;
use super::transactions;
use super::version::Txns;
use crate::error::{Code, Error, Result};
use crate::storage::BucketPlace;
use crate::telemetry::failpoint;
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::kernel::{Action, Add, CommitInfo, Metadata, Protocol, Remove, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore};
use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use std::collections::HashMap;
use std::sync::Arc;
use url::Url;

/// Where a table lies, and its log.
#[derive(Debug, Clone)]
pub struct TableLog {
    /// For messages.
    pub name: String,
    /// The id of the table in the catalog: part of the names of our transactions.
    id: String,
    /// The directory of the table as a path of the root store.
    pub root: Path,
    /// Rooted at the directory of the table.
    pub store: Arc<dyn ObjectStore>,
    /// Under which the query engine knows the root store.
    pub store_url: ObjectStoreUrl,
    log_store: LogStoreRef,
}

/// A log as loaded: everything a committer starts from.
#[derive(Debug)]
pub struct Loaded {
    pub version: u64,
    pub definition: Arc<Definition>,
    pub files: LiveFilesEditor,
    pub txns: Txns,
}

/// What is at a version of the log after we tried to write it.
#[derive(Debug, PartialEq)]
pub enum Entry {
    Ours,
    Foreign(Bytes),
}

impl TableLog {
    /// `root_store` has the absolute paths of the machine.
    pub fn new(
        id: &str,
        name: &str,
        directory: &std::path::Path,
        root_store: Arc<dyn ObjectStore>,
        store_url: ObjectStoreUrl,
    ) -> Result<Self> {
        let unusable =
            || Error::new(Code::Io, format!("directory \"{}\" of table \"{name}\" is not an absolute path", directory.display()));
        let url = Url::from_directory_path(directory).map_err(|()| unusable())?;
        let root = Path::from_url_path(url.path()).map_err(|_| unusable())?;
        Ok(Self::at(id, name, root, &url, root_store, store_url))
    }

    /// The log of a table in a bucket.
    pub fn in_bucket(id: &str, name: &str, place: &BucketPlace) -> Result<Self> {
        // The Delta crate takes the path out of the URL: it must be the one that we use.
        match Path::from_url_path(place.url.path()) {
            Ok(path) if path == place.path => {}
            _ => return Err(Error::new(Code::Io, format!("location \"{}\" of table \"{name}\" is not a directory's", place.url))),
        }
        Ok(Self::at(id, name, place.path.clone(), &place.url, Arc::clone(&place.store), place.store_url.clone()))
    }

    fn at(id: &str, name: &str, root: Path, url: &Url, root_store: Arc<dyn ObjectStore>, store_url: ObjectStoreUrl) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root_store), root.clone()));
        let log_store = default_logstore(Arc::clone(&store), root_store, url, &StorageConfig::default());
        Self { name: name.to_owned(), id: id.to_owned(), root, store, store_url, log_store }
    }

    /// The name of a transaction of this table.
    pub fn txn_id(&self, what: &str) -> String {
        format!("weir:{}:{what}", self.id)
    }

    /// The name of the transaction that fences older writers: its version is their generation.
    pub fn fence_id(&self) -> String {
        self.txn_id("gen")
    }

    /// A path of this table as a path of the root store.
    pub fn absolute(&self, path: &Path) -> Path {
        self.root.parts().chain(path.parts()).collect()
    }

    /// The log at a version, or the newest one; the crate's own view of it.
    pub fn table<'a>(&'a self, version: Option<u64>) -> BoxFuture<'a, Result<DeltaTable>> {
        Box::pin(async move {
            let mut table = DeltaTable::new(Arc::clone(&self.log_store));
            match version {
                None => table.load().await,
                Some(version) => table.load_version(version).await,
            }
            .map_err(|error| self.unreadable(&error))?;
            Ok(table)
        })
    }

    /// Loads the newest version.
    pub async fn load(&self) -> Result<Loaded> {
        let loaded = self.load_as(Definition::of).await?;
        Ok(Loaded { txns: transactions::load(self, loaded.version).await?, ..loaded })
    }

    /// Loads the newest version for reading only, without transactions.
    pub async fn load_foreign(&self) -> Result<Loaded> {
        self.load_as(Definition::foreign).await
    }

    fn load_as(&self, definition: fn(&str, &Protocol, &Metadata) -> Result<Definition>) -> BoxFuture<'_, Result<Loaded>> {
        Box::pin(async move {
            let table = self.table(None).await?;
            let state = table.snapshot().map_err(|error| self.unreadable(&error))?;
            let definition = Arc::new(definition(&self.name, state.protocol(), state.metadata())?);
            let mut files = LiveFilesEditor::default();
            for view in state.log_data().iter() {
                let add = Add {
                    path: view.path().into_owned(),
                    partition_values: view.partition_values_map(),
                    size: view.size(),
                    modification_time: view.modification_time(),
                    stats: view.stats(),
                    deletion_vector: view.deletion_vector_descriptor(),
                    ..Add::default()
                };
                files.add(Arc::new(self.live_file(&add, &definition)?));
            }
            Ok(Loaded { version: state.version(), definition, files, txns: Txns::default() })
        })
    }

    /// Files that the log removed and still remembers, with the time of removal in milliseconds.
    pub fn tombstones<'a>(&'a self) -> BoxFuture<'a, Result<HashMap<Path, i64>>> {
        Box::pin(async move {
            let table = self.table(None).await?;
            let state = table.snapshot().map_err(|error| self.unreadable(&error))?;
            let views: Vec<_> =
                state.all_tombstones(self.log_store.as_ref()).try_collect().await.map_err(|error| self.unreadable(&error))?;
            views.iter().map(|view| Ok((self.data_path(&view.path())?, view.deletion_timestamp().unwrap_or(0)))).collect()
        })
    }

    /// The bytes of a version; `None` when it does not exist.
    pub fn read<'a>(&'a self, version: u64) -> BoxFuture<'a, Result<Option<Bytes>>> {
        Box::pin(async move { self.log_store.read_commit_entry(version).await.map_err(|error| self.unreadable(&error)) })
    }

    /// What tells an entry from another one at the same version: a table may be made again at its place.
    pub fn entry_tag<'a>(&'a self, version: u64) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            match self.store.head(&Path::from("_delta_log").join(format!("{version:020}.json"))).await {
                Ok(found) => Ok(Some(format!("{} {} {}", found.e_tag.unwrap_or_default(), found.last_modified, found.size))),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(self.unreadable(&error)),
            }
        })
    }

    /// False when there is no log at all.
    pub fn exists<'a>(&'a self) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let first = self.store.list(Some(&Path::from("_delta_log"))).next().await;
            first.transpose().map(|found| found.is_some()).map_err(|error| self.unreadable(&error))
        })
    }

    /// Tries once to create a version. **Any** error but "already exists" means: outcome unknown, read it back.
    pub fn write<'a>(&'a self, version: u64, bytes: Bytes) -> BoxFuture<'a, Result<(), TransactionError>> {
        Box::pin(async move {
            failpoint::reach("log.write");
            let result = self.log_store.write_commit_entry(version, CommitOrBytes::LogBytes(bytes), uuid::Uuid::nil()).await;
            failpoint::reach("log.linked");
            result
        })
    }

    /// Deletes log entries that a proven checkpoint at `version` made superfluous and that are older than the cut-off.
    pub fn clean<'a>(&'a self, version: u64, cutoff_ms: i64) -> BoxFuture<'a, Result<usize>> {
        Box::pin(async move {
            deltalake_core::checkpoints::cleanup_expired_logs_for(version, self.log_store.as_ref(), cutoff_ms, None)
                .await
                .map_err(|error| self.unreadable(&error))
        })
    }

    /// A file of the log as we keep it in memory.
    pub fn live_file(&self, add: &Add, definition: &Definition) -> Result<LiveFile> {
        if add.deletion_vector.is_some() {
            return Err(self.corrupted(&format!("file \"{}\" has a deletion vector, which the protocol of the table excludes", add.path)));
        }
        let partition_texts: Vec<Option<String>> = definition
            .partition_columns()
            .iter()
            .map(|column| add.partition_values.get(column).cloned().flatten().filter(|text| !text.is_empty()))
            .collect();
        let partition = partition_texts
            .iter()
            .zip(definition.partition_fields())
            .map(|(text, field)| partition::parse_value(text.as_deref(), &field))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| self.corrupted(&format!("file \"{}\": {}", add.path, error.message)))?;
        Ok(LiveFile {
            path: self.data_path(&add.path)?,
            size_bytes: u64::try_from(add.size).map_err(|_| self.corrupted(&format!("file \"{}\" has a negative size", add.path)))?,
            modified_ms: add.modification_time,
            partition,
            partition_texts,
            stats: add
                .stats
                .as_deref()
                .and_then(|text| FileStats::from_json(text, &definition.file_schema))
                .map(|stats| if definition.is_foreign { stats.without_floats(&definition.file_schema) } else { stats }),
        })
    }

    /// A decoded path of the log; it must lie below the table.
    pub fn data_path(&self, path: &str) -> Result<Path> {
        if path.starts_with('/') || path.contains("://") {
            return Err(self.corrupted(&format!("file \"{path}\" lies outside of the table")));
        }
        Path::parse(path).map_err(|error| self.corrupted(&format!("file \"{path}\": {error}")))
    }

    /// The log cannot be read (now).
    pub fn unreadable(&self, error: &dyn std::fmt::Display) -> Error {
        Error::new(Code::Io, format!("could not read the log of table \"{}\": {error}", self.name))
    }

    /// The log says something that cannot be.
    pub fn corrupted(&self, reason: &str) -> Error {
        Error::new(Code::DataCorrupted, format!("the log of table \"{}\" is damaged: {reason}", self.name))
    }
}

/// The first action of every entry. Its unique id makes our bytes different from everybody else's.
pub fn commit_info(operation: &str, parameters: &[(&str, &str)], is_blind_append: bool) -> Action {
    let parameters = parameters.iter().map(|(key, value)| ((*key).to_owned(), serde_json::Value::from(*value))).collect();
    Action::CommitInfo(CommitInfo {
        timestamp: Some(chrono::Utc::now().timestamp_millis()),
        operation: Some(operation.to_owned()),
        operation_parameters: Some(parameters),
        is_blind_append: Some(is_blind_append),
        engine_info: Some(concat!("weir/", env!("CARGO_PKG_VERSION")).to_owned()),
        info: HashMap::from([("txnId".to_owned(), serde_json::Value::from(uuid::Uuid::new_v4().to_string()))]),
        ..CommitInfo::default()
    })
}

/// A transaction identifier: the generation of the writer, positions of a stream.
pub fn txn(app_id: String, version: i64) -> Action {
    Action::Txn(Transaction { app_id, version, last_updated: Some(chrono::Utc::now().timestamp_millis()) })
}

/// A new data file.
pub fn add(file: &LiveFile, definition: &Definition, data_change: bool) -> Action {
    Action::Add(Add {
        path: file.path.to_string(),
        partition_values: partition_values(file, definition),
        size: i64::try_from(file.size_bytes).unwrap_or(i64::MAX),
        modification_time: file.modified_ms,
        data_change,
        stats: file.stats.as_ref().map(|stats| stats.to_json(&definition.file_schema)),
        ..Add::default()
    })
}

/// A data file whose rows are no longer in the table; it stays on disk for readers until it is collected.
pub fn remove(file: &LiveFile, definition: &Definition, data_change: bool) -> Action {
    Action::Remove(Remove {
        path: file.path.to_string(),
        data_change,
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(file, definition)),
        size: Some(i64::try_from(file.size_bytes).unwrap_or(i64::MAX)),
        ..Remove::default()
    })
}

fn partition_values(file: &LiveFile, definition: &Definition) -> HashMap<String, Option<String>> {
    definition.partition_columns().into_iter().zip(file.partition_texts.iter().cloned()).collect()
}

/// The bytes of an entry: one action per line.
pub fn to_bytes(actions: &[Action]) -> Result<Bytes> {
    let mut bytes = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut bytes, action).map_err(|error| Error::internal(format!("log action: {error}")))?;
        bytes.push(b'\n');
    }
    Ok(bytes.into())
}
