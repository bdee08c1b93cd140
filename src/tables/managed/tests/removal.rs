//! DELETE, UPDATE, TRUNCATE, retention, and when the files go.

use super::*;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;

impl World {
    /// DELETE as the engine does it: finds the files with matching rows, keeps what does not match.
    async fn delete(&self, table: &Arc<ManagedTable>, pin: &Pin, predicate: &str) -> Result<u64> {
        let files = self.files_with(table, pin, predicate).await;
        self.session.register_table("u", table.snapshot_of_files(pin, &files)).unwrap();
        let input = self.session.sql(&format!("SELECT * FROM u WHERE ({predicate}) IS NOT TRUE")).await.unwrap();
        let input = input.create_physical_plan().await.unwrap();
        drop(self.session.deregister_table("u").unwrap());
        let plan = table.rewrite_plan("DELETE", files.clone(), input)?;
        let batches = datafusion::physical_plan::collect(plan, self.session.task_ctx()).await.map_err(|error| our_error(&error))?;
        let n_kept = datafusion::common::cast::as_uint64_array(batches[0].column(0)).unwrap().value(0);
        Ok(files.n_rows().unwrap() - n_kept)
    }

    async fn files_with(&self, table: &ManagedTable, pin: &Pin, predicate: &str) -> FileSet {
        self.session.register_table("u", table.snapshot_with_files(pin)).unwrap();
        let numbers = self.session.sql(&format!("SELECT DISTINCT {FILE_COLUMN} FROM u WHERE {predicate}")).await.unwrap();
        let numbers = numbers.collect().await.unwrap();
        drop(self.session.deregister_table("u").unwrap());
        table.files_at(pin, numbers.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_removes_rows_for_which_the_predicate_is_true() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT * FROM (VALUES (1, 'a', 10), (2, 'a', NULL), (3, 'b', 30)) AS v(id, p, x)").await;
    world.insert(&table, "SELECT 4, 'b', 10", WriteMode::Append).await.unwrap();
    let pin = table.pin();
    assert_eq!(world.files_with(&table, &pin, "x = 10").await.len(), 2);
    assert_eq!(world.files_with(&table, &pin, "p = 'b' AND id > 3").await.len(), 1);
    assert!(world.files_with(&table, &pin, "x > 1000").await.is_empty());
    assert_eq!(world.delete(&table, &pin, "x = 10").await.unwrap(), 2);
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, "SELECT id, p, x FROM t ORDER BY id").await, ["2|a|", "3|b|30"], "NULL is not TRUE");
    }
    assert_eq!(world.query_at(table.snapshot_of(&pin), "SELECT count(*) FROM t").await, ["4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_that_lost_a_race_changes_nothing() {
    let world = World::new();
    let table = world.create(&[], "SELECT 1 AS id").await;
    world.insert(&table, "SELECT 2", WriteMode::Append).await.unwrap();
    let pin = table.pin();
    table.optimize(&world.pool()).await.unwrap();
    let error = world.delete(&table, &pin, "id = 1").await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "rows of table \"t\" changed meanwhile"));
    assert_eq!(world.query(&table, "SELECT id FROM t ORDER BY id").await, ["1", "2"]);
    assert_eq!(world.delete(&table, &table.pin(), "id = 1").await.unwrap(), 1);
    // Rows that came meanwhile are in other files.
    let pin = table.pin();
    world.insert(&table, "SELECT 2", WriteMode::Append).await.unwrap();
    assert_eq!(world.delete(&table, &pin, "id = 2").await.unwrap(), 1);
    assert_eq!(world.query(&table, "SELECT id FROM t").await, ["2"]);
    table.truncate().await.unwrap();
    assert_eq!(world.query(&table, "SELECT id FROM t").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_removes_whole_files() {
    let world = World::new();
    let schema = Arc::new(epochs::stream_schema());
    let table = world.create_stream(&world.tables(), NewTable::streaming(schema)).await.unwrap();
    for _ in 0..6 {
        world.commit_rows(&table, 10).await.unwrap();
    }
    let ids = "SELECT min(id), max(id), count(*) FROM t";
    let error = table.drop_before("nothing", &ScalarValue::from(1)).await.unwrap_err();
    assert_eq!(error.code, Code::UndefinedColumn);
    assert_eq!(table.drop_before("id", &ScalarValue::from(5)).await.unwrap().len(), 0);
    assert_eq!(table.drop_before("id", &ScalarValue::from(19)).await.unwrap().n_rows(), Some(10), "19 is the last of its file");
    assert_eq!(world.query(&table, ids).await, ["10|59|50"]);
    // Merged files are as old as their rows.
    world.commit_rows(&table, 10_000).await.unwrap();
    let n_bytes = table.pin().n_bytes();
    assert_eq!(table.drop_oldest(n_bytes).await.unwrap().len(), 0);
    assert_eq!(table.drop_oldest(n_bytes - 1).await.unwrap().len(), 1);
    assert_eq!(world.query(&table, ids).await, ["20|10059|10040"]);
    table.drop_oldest(0).await.unwrap();
    assert_eq!(world.query(world.reopen().await.as_ref(), ids).await, ["||0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_files_go_when_nobody_holds_them() {
    let world = World::new();
    let table = world.create(&[], "SELECT 1 AS id").await;
    let pin = table.pin();
    let old = world.parquet_files();
    world.insert(&table, "SELECT 2", WriteMode::OverwriteTable).await.unwrap();
    let both = world.parquet_files();
    assert_eq!(table.vacuum(GRACE, false).await.unwrap().files, Vec::<String>::new(), "too young");
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap().files, Vec::<String>::new(), "held");
    // A plan holds its files too.
    let scan = world.session.read_table(table.snapshot_of(&pin)).unwrap().create_physical_plan().await.unwrap();
    drop(pin);
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap().files.len(), 0);
    drop(scan);
    let report = table.vacuum(Duration::ZERO, true).await.unwrap();
    assert_eq!(report.files, old.iter().cloned().collect::<Vec<_>>());
    assert!(report.n_bytes > 100);
    assert_eq!(world.parquet_files(), both, "a dry run deletes nothing");
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap(), report);
    assert_eq!(world.parquet_files(), World::live_files(&table));

    // After a restart, from the log.
    world.insert(&table, "SELECT 3", WriteMode::OverwriteTable).await.unwrap();
    let reopened = world.reopen().await;
    assert_eq!(world.parquet_files().len(), 2, "removed less than a day ago");
    let late = sweep::file_path(1, "", false);
    std::fs::write(world.path().join(&late), "x").unwrap();
    let report = reopened.vacuum(Duration::ZERO, false).await.unwrap();
    assert!(report.files.len() == 2 && report.files.contains(&late), "{report:?}");
    assert_eq!(world.parquet_files(), World::live_files(&reopened));
    assert_eq!(world.query(&reopened, "SELECT id FROM t").await, ["3"]);
    let error = table.vacuum(Duration::ZERO, false).await;
    assert!(error.is_ok() || error.unwrap_err().code == Code::Conflict, "the old server may not know yet, and has nothing to delete");
}
