//! The Delta log of one table: load it, read and write one entry, name the actions we write.

use super::live_files::{LiveFile, LiveFilesEditor};
use super::partition;
use super::schema::Definition;
use super::stats::FileStats;
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use datafusion::execution::object_store::ObjectStoreUrl;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::transaction::TransactionError;
use deltalake_core::kernel::{Action, Add, CommitInfo, Remove, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
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
    /// The newest generation of writers that fenced this table; 0 when none did.
    pub generation: i64,
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
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&root_store), root.clone()));
        let log_store = default_logstore(Arc::clone(&store), root_store, &url, &StorageConfig::default());
        Ok(Self { name: name.to_owned(), id: id.to_owned(), root, store, store_url, log_store })
    }

    /// The name of the transaction that fences older writers.
    pub fn fence_id(&self) -> String {
        format!("weir:{}:gen", self.id)
    }

    /// A path of this table as a path of the root store.
    pub fn absolute(&self, path: &Path) -> Path {
        self.root.parts().chain(path.parts()).collect()
    }

    /// The log at a version, or the newest one; the crate's own view of it.
    pub async fn table(&self, version: Option<u64>) -> Result<DeltaTable> {
        let mut table = DeltaTable::new(Arc::clone(&self.log_store));
        match version {
            None => table.load().await,
            Some(version) => table.load_version(version).await,
        }
        .map_err(|error| self.unreadable(&error))?;
        Ok(table)
    }

    /// Loads the newest version.
    pub async fn load(&self) -> Result<Loaded> {
        let table = self.table(None).await?;
        let state = table.snapshot().map_err(|error| self.unreadable(&error))?;
        let definition = Arc::new(Definition::of(&self.name, state.protocol(), state.metadata())?);
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
        let generation =
            state.transaction_version(self.log_store.as_ref(), self.fence_id()).await.map_err(|error| self.unreadable(&error))?;
        Ok(Loaded { version: state.version(), definition, files, generation: generation.unwrap_or(0) })
    }

    /// Files that the log removed and still remembers, with the time of removal in milliseconds.
    pub async fn tombstones(&self) -> Result<HashMap<Path, i64>> {
        let table = self.table(None).await?;
        let state = table.snapshot().map_err(|error| self.unreadable(&error))?;
        let views: Vec<_> = state.all_tombstones(self.log_store.as_ref()).try_collect().await.map_err(|error| self.unreadable(&error))?;
        views.iter().map(|view| Ok((self.data_path(&view.path())?, view.deletion_timestamp().unwrap_or(0)))).collect()
    }

    /// The bytes of a version; `None` when it does not exist.
    pub async fn read(&self, version: u64) -> Result<Option<Bytes>> {
        self.log_store.read_commit_entry(version).await.map_err(|error| self.unreadable(&error))
    }

    /// Tries once to create a version. **Any** error but "already exists" means: outcome unknown, read it back.
    pub async fn write(&self, version: u64, bytes: Bytes) -> Result<(), TransactionError> {
        self.log_store.write_commit_entry(version, CommitOrBytes::LogBytes(bytes), uuid::Uuid::nil()).await
    }

    /// Deletes log entries that a proven checkpoint at `version` made superfluous and that are older than the cut-off.
    pub async fn clean(&self, version: u64, cutoff_ms: i64) -> Result<usize> {
        deltalake_core::checkpoints::cleanup_expired_logs_for(version, self.log_store.as_ref(), cutoff_ms, None)
            .await
            .map_err(|error| self.unreadable(&error))
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
            stats: add.stats.as_deref().and_then(|text| FileStats::from_json(text, &definition.file_schema)),
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

    fn corrupted(&self, reason: &str) -> Error {
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

/// A transaction identifier: the generation of the writer, later offsets of topics.
pub fn txn(app_id: String, version: i64) -> Action {
    Action::Txn(Transaction { app_id, version, last_updated: Some(chrono::Utc::now().timestamp_millis()) })
}

/// A new data file.
pub fn add(file: &LiveFile, definition: &Definition) -> Action {
    Action::Add(Add {
        path: file.path.to_string(),
        partition_values: partition_values(file, definition),
        size: i64::try_from(file.size_bytes).unwrap_or(i64::MAX),
        modification_time: file.modified_ms,
        data_change: true,
        stats: file.stats.as_ref().map(|stats| stats.to_json(&definition.file_schema)),
        ..Add::default()
    })
}

/// A data file whose rows are no longer in the table; it stays on disk for readers until it is collected.
pub fn remove(file: &LiveFile, definition: &Definition) -> Action {
    Action::Remove(Remove {
        path: file.path.to_string(),
        data_change: true,
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
