//! Tables end to end, over the durable store: create, insert, scan, reopen; then everything that can go wrong.

mod buckets;
mod compaction;
mod epochs;
mod external;
mod faults;
mod listing;
mod places;
mod reading;
mod removal;
mod writing;

use super::*;
use crate::storage::Root;
use datafusion::arrow::datatypes::Schema;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::error::DataFusionError;
use datafusion::execution::context::SessionContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionConfig;
use std::collections::BTreeSet;
use tempfile::TempDir;

/// A warehouse and an engine that sees the tables in it.
pub struct World {
    directory: TempDir,
    storage: Arc<Storage>,
    session: SessionContext,
}

impl World {
    pub fn new() -> Self {
        Self::with_memory(usize::MAX)
    }

    pub fn with_memory(memory_bytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), Vec::<Root>::new()).unwrap();
        let runtime = RuntimeEnvBuilder::new().with_object_store_registry(storage.registry()).with_memory_limit(memory_bytes, 1.0);
        let config = SessionConfig::new().with_target_partitions(2).with_information_schema(false);
        let session = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
        Self { directory, storage, session }
    }

    /// As after a start of the server: nothing is open.
    pub fn tables(&self) -> Arc<ManagedTables> {
        ManagedTables::new(Arc::clone(&self.storage))
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.directory.path().canonicalize().unwrap().join("t")
    }

    pub async fn schema_of(&self, sql: &str) -> Schema {
        self.session.sql(sql).await.unwrap().schema().as_arrow().clone()
    }

    pub async fn create_empty(&self, tables: &ManagedTables, partition_columns: &[&str], schema: &Schema) -> Result<Arc<ManagedTable>> {
        let partition_columns = partition_columns.iter().map(|&column| column.to_owned()).collect();
        tables.create("t1", "t", &self.path(), NewTable { partition_columns, ..NewTable::of(Arc::new(schema.clone())) }).await
    }

    /// CREATE TABLE AS: the types of the query (all nullable), its rows.
    pub async fn create(&self, partition_columns: &[&str], sql: &str) -> Arc<ManagedTable> {
        let schema = nullable(&self.schema_of(sql).await);
        let table = self.create_empty(&self.tables(), partition_columns, &schema).await.unwrap();
        self.insert(&table, sql, WriteMode::Append).await.unwrap();
        table
    }

    pub async fn reopen(&self) -> Arc<ManagedTable> {
        self.tables().open("t1", "t", &self.path()).await.unwrap()
    }

    pub async fn plan(&self, table: &Arc<ManagedTable>, sql: &str, mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
        let input = self.session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        table.insert_plan(input, mode)
    }

    pub async fn insert(&self, table: &Arc<ManagedTable>, sql: &str, mode: WriteMode) -> Result<u64> {
        let plan = self.plan(table, sql, mode).await?;
        let batches = datafusion::physical_plan::collect(plan, self.session.task_ctx()).await.map_err(|error| our_error(&error))?;
        let counts = datafusion::common::cast::as_uint64_array(batches[0].column(0)).unwrap();
        assert_eq!(batches[0].schema().field(0).name(), "count");
        Ok(counts.value(0))
    }

    /// The rows of a query over table `t`, one line per row.
    pub async fn query(&self, table: &ManagedTable, sql: &str) -> Vec<String> {
        self.query_at(table.snapshot(), sql).await
    }

    pub async fn query_at(&self, snapshot: Arc<dyn TableProvider>, sql: &str) -> Vec<String> {
        drop(self.session.deregister_table("t").unwrap());
        self.session.register_table("t", snapshot).unwrap();
        let batches = self.session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
    }

    /// The names of all Parquet files below the table, live or not.
    pub fn parquet_files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut directories = vec![self.path()];
        while let Some(directory) = directories.pop() {
            let entries = match std::fs::read_dir(&directory) {
                // A server that died before its first write has made nothing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.unwrap(),
            };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() && path.file_name().unwrap() != "_delta_log" {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet" || extension == "tmp") {
                    found.insert(path.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found
    }

    pub fn live_files(table: &ManagedTable) -> BTreeSet<String> {
        table.newest().files.iter().map(|file| file.path.to_string()).collect()
    }
}

/// Waits for a condition: files of dropped statements are removed in the background.
pub async fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "the condition did not come true in time");
        tokio::task::yield_now().await;
    }
}

pub fn nullable(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>())
}

/// Our own error out of what the engine wrapped around it.
pub fn our_error(error: &DataFusionError) -> Error {
    let text = error.to_string();
    match error.find_root() {
        DataFusionError::External(inner) => inner.downcast_ref::<Error>().cloned().unwrap(),
        _ => Error::internal(format!("an error of the engine: {text}")),
    }
}
