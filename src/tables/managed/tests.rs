//! Tables end to end: create, insert, scan, reopen.

use super::*;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::context::SessionContext;
use datafusion::prelude::SessionConfig;
use object_store::local::LocalFileSystem;
use tempfile::TempDir;

/// A directory and an engine that sees the tables in it.
struct World {
    directory: TempDir,
    store: Arc<dyn ObjectStore>,
    session: SessionContext,
}

impl World {
    fn new() -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        Self { directory: tempfile::tempdir().unwrap(), store, session }
    }

    fn tables(&self) -> Arc<ManagedTables> {
        ManagedTables::with_store(Arc::clone(&self.store), ObjectStoreUrl::local_filesystem())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// CREATE TABLE AS: the types of the query, its rows.
    async fn create(&self, tables: &ManagedTables, partition_columns: &[&str], sql: &str) -> Result<Arc<ManagedTable>> {
        let plan = self.session.sql(sql).await.unwrap();
        let schema = storable_schema(plan.schema().as_arrow())?;
        let partition_columns = partition_columns.iter().map(|&column| column.to_owned()).collect();
        let table = tables.create("t1", "t", &self.path("t"), schema, partition_columns, Vec::new()).await?;
        self.insert(&table, sql, WriteMode::Append).await?;
        Ok(table)
    }

    async fn reopen(&self) -> Arc<ManagedTable> {
        self.tables().open("t1", "t", &self.path("t")).await.unwrap()
    }

    async fn insert(&self, table: &Arc<ManagedTable>, sql: &str, mode: WriteMode) -> Result<u64> {
        let input = self.session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = table.insert_plan(input, mode)?;
        let batches = datafusion::physical_plan::collect(plan, self.session.task_ctx()).await.map_err(our_error)?;
        let counts = datafusion::common::cast::as_uint64_array(batches[0].column(0)).unwrap();
        Ok(counts.value(0))
    }

    /// The rows of a query over table `t`, one line per row.
    async fn query(&self, table: &ManagedTable, sql: &str) -> Vec<String> {
        drop(self.session.deregister_table("t").unwrap());
        self.session.register_table("t", table.snapshot()).unwrap();
        let batches = self.session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
        rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|")).collect()
    }
}

/// Our own error out of what the engine wrapped around it.
fn our_error(error: datafusion::error::DataFusionError) -> Error {
    let text = error.to_string();
    match error.find_root() {
        datafusion::error::DataFusionError::External(inner) => inner.downcast_ref::<Error>().cloned().unwrap(),
        _ => panic!("not an error of ours: {text}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_there_after_reopening() {
    let world = World::new();
    let tables = world.tables();
    let sql = "SELECT * FROM (VALUES (1, 'a', 1.5), (2, NULL, NULL)) AS v(id, name, x)";
    let table = world.create(&tables, &[], sql).await.unwrap();
    assert_eq!(world.insert(&table, "SELECT 3, 'c', 2.5", WriteMode::Append).await.unwrap(), 1);
    let expected = ["1|a|1.5", "2||", "3|c|2.5"];
    assert_eq!(world.query(&table, "SELECT * FROM t ORDER BY id").await, expected);
    let reopened = world.reopen().await;
    assert_eq!(world.query(&reopened, "SELECT * FROM t ORDER BY id").await, expected);
}
