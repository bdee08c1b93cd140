//! DELETE and UPDATE by the places of rows.

use super::*;
use datafusion::arrow::datatypes::{DataType, Field};

impl World {
    /// DELETE, or UPDATE when there are new values for all columns, as the engine does it.
    async fn change(&self, table: &Arc<ManagedTable>, pin: &Pin, values: Option<&str>, predicate: &str) -> Result<u64> {
        drop(self.session.deregister_table("t").unwrap());
        drop(self.session.deregister_table("target").unwrap());
        self.session.register_table("t", table.snapshot_of(pin)).unwrap();
        self.session.register_table("target", table.rows_with_places(pin)?).unwrap();
        let values = values.map_or_else(String::new, |values| format!("{values}, "));
        let sql = format!("SELECT {values}{FILE_COLUMN}, {ROW_COLUMN} FROM target WHERE {predicate}");
        let input = self.session.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let plan = table.change_plan(pin, "CHANGE", input, &self.session.state())?;
        let batches = datafusion::physical_plan::collect(plan, self.session.task_ctx()).await.map_err(|error| our_error(&error))?;
        Ok(datafusion::common::cast::as_uint64_array(batches[0].column(0)).unwrap().value(0))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_for_which_the_condition_is_true_go() {
    let world = World::new();
    let table =
        world.create(&["p"], "SELECT * FROM (VALUES (1, 'a', 10), (2, 'a', NULL), (3, 'b', 30), (4, NULL, 40)) AS v(id, p, x)").await;
    world.insert(&table, "SELECT 5, 'b', 10", WriteMode::Append).await.unwrap();
    let old = table.pin();
    let version = table.version();
    for (predicate, n_rows) in [("x > 1000", 0), ("x <> x", 0), ("id NOT IN (SELECT x FROM t)", 0)] {
        assert_eq!(world.change(&table, &table.pin(), None, predicate).await.unwrap(), n_rows, "{predicate}");
    }
    assert_eq!(table.version(), version, "what changes no row commits nothing");
    assert_eq!(world.change(&table, &table.pin(), None, "x = 10").await.unwrap(), 2);
    assert_eq!(world.change(&table, &table.pin(), Some("id + 100, 'c', x + 1"), "id = 3 OR p IS NULL").await.unwrap(), 2);
    let reopened = world.reopen().await;
    for table in [&table, &reopened] {
        assert_eq!(world.query(table, "SELECT id, p, x FROM t ORDER BY id").await, ["2|a|", "103|c|31", "104|c|41"]);
    }
    assert_eq!(world.query_at(table.snapshot_of(&old), "SELECT count(*) FROM t").await, ["5"]);
    assert_eq!(world.change(&table, &table.pin(), None, "true").await.unwrap_err().code, Code::Conflict, "it was taken over");
    assert_eq!(world.change(&reopened, &reopened.pin(), None, "true").await.unwrap(), 3);
    assert!(reopened.pin().n_files() == 0 && world.query(&reopened, "SELECT id FROM t").await.is_empty());
}

/// Pages and row groups that a condition leaves out do not shift the numbers of the rows behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_keep_their_numbers_when_a_scan_leaves_pages_out() {
    let world = World::new();
    let table = world.create(&[], "SELECT value AS id, value % 7 AS x FROM generate_series(1, 200000)").await;
    let counts = "SELECT count(*), sum(id), min(id), max(id) FROM t";
    let total: i64 = (1..=200_000).sum();
    assert_eq!(world.change(&table, &table.pin(), None, "id BETWEEN 150001 AND 150010").await.unwrap(), 10);
    let gone: i64 = (150_001..=150_010).sum();
    assert_eq!(world.query(&table, counts).await, [format!("199990|{}|1|200000", total - gone)]);
    assert_eq!(world.change(&table, &table.pin(), Some("-id, x"), "id = 199999 AND x = 199999 % 7").await.unwrap(), 1);
    assert_eq!(world.query(&table, counts).await, [format!("199990|{}|-199999|200000", total - gone - 2 * 199_999)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_values_are_checked_and_a_lost_race_changes_nothing() {
    let world = World::new();
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("p", DataType::Utf8, true)]);
    let table = world.create_empty(&world.tables(), &[], &schema).await.unwrap();
    world.insert(&table, "SELECT 1, 'a'", WriteMode::Append).await.unwrap();
    world.insert(&table, "SELECT 2, 'b'", WriteMode::Append).await.unwrap();
    let error = world.change(&table, &table.pin(), Some("CAST(NULL AS BIGINT), p"), "id = 1").await.unwrap_err();
    assert_eq!(error.code, Code::NotNull);
    let pin = table.pin();
    table.optimize(&world.pool()).await.unwrap();
    assert_eq!(world.change(&table, &pin, None, "id = 1").await.unwrap_err().code, Code::Conflict);
    assert_eq!(world.query(&table, "SELECT id, p FROM t ORDER BY id").await, ["1|a", "2|b"]);
    assert_eq!(world.change(&table, &table.pin(), None, "id = 1").await.unwrap(), 1);
    assert_eq!(world.query(&table, "SELECT id, p FROM t").await, ["2|b"]);
    // Rows that come meanwhile are in other files.
    let pin = table.pin();
    world.insert(&table, "SELECT 2, 'c'", WriteMode::Append).await.unwrap();
    assert_eq!(world.change(&table, &pin, None, "id = 2").await.unwrap(), 1);
    assert_eq!(world.query(&table, "SELECT id, p FROM t").await, ["2|c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_with_a_name_of_the_server_is_refused() {
    let world = World::new();
    let table = world.create(&[], &format!("SELECT 1 AS {ROW_COLUMN}")).await;
    let error = table.rows_with_places(&table.pin()).unwrap_err();
    assert_eq!(error.code, Code::NotSupported);
}
