//! What INSERT refuses, replaces and leaves behind.

use super::*;
use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};
use futures::StreamExt;

#[track_caller]
fn refuse_type(data_type: DataType) {
    let error = storable_schema(&Schema::new(vec![Field::new("x", data_type, true)])).unwrap_err();
    assert_eq!(error.code, Code::NotSupported, "{error}");
    assert!(error.hint.unwrap().contains("CAST the column \"x\""));
}

#[track_caller]
fn check_type(given: DataType, kept: &DataType) {
    let schema = storable_schema(&Schema::new(vec![Field::new("x", given, true)])).unwrap();
    assert_eq!(schema.field(0).data_type(), kept);
    assert_eq!(storable_schema(&schema).unwrap(), schema, "a storable schema stays as it is");
}

#[test]
fn types_without_a_place_in_the_log_are_refused() {
    refuse_type(DataType::Time64(TimeUnit::Microsecond));
    refuse_type(DataType::Duration(TimeUnit::Second));
    refuse_type(DataType::Interval(IntervalUnit::MonthDayNano));
    refuse_type(DataType::Decimal256(50, 2));
    refuse_type(DataType::Decimal128(10, -2));
}

#[test]
fn types_become_the_next_one_that_holds_all_values() {
    check_type(DataType::UInt8, &DataType::Int16);
    check_type(DataType::UInt32, &DataType::Int64);
    check_type(DataType::UInt64, &DataType::Decimal128(20, 0));
    check_type(DataType::Utf8View, &DataType::Utf8);
    check_type(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::LargeUtf8)), &DataType::Utf8);
    check_type(DataType::Timestamp(TimeUnit::Nanosecond, None), &DataType::Timestamp(TimeUnit::Microsecond, None));
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    check_type(DataType::Timestamp(TimeUnit::Second, Some("+02:00".into())), &utc);
    let list = |name: &str, item| DataType::List(Arc::new(Field::new(name, item, true)));
    check_type(list("item", DataType::UInt16), &list("element", DataType::Int32));
}

#[test]
fn names_that_other_readers_refuse_are_refused() {
    let fields = |names: &[&str]| Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int32, true)).collect::<Vec<_>>());
    let error = storable_schema(&fields(&["a b"])).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::NotSupported, "column \"a b\" has the character ' ' in its name"));
    assert_eq!(storable_schema(&fields(&["a", "A"])).unwrap_err().code, Code::DuplicateColumn);
    assert_eq!(storable_schema(&fields(&[])).unwrap_err().code, Code::InvalidStatement);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_table_is_not_created() {
    let world = World::new();
    let tables = world.tables();
    let schema = world.schema_of("SELECT 1 AS a, 2 AS b").await;
    for (partition_columns, code) in
        [(vec!["x"], Code::UndefinedColumn), (vec!["a", "b"], Code::InvalidStatement), (vec!["a", "a"], Code::DuplicateColumn)]
    {
        let error = world.create_empty(&tables, &partition_columns, &schema).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    assert!(!world.path().exists(), "nothing was written");
    world.create_empty(&tables, &[], &schema).await.unwrap();
    let error = tables.create("t2", "u", &world.path(), NewTable::of(Arc::new(schema))).await.unwrap_err();
    assert_eq!(error.code, Code::DuplicateTable, "a second table in the same directory: {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_insert_leaves_no_row_and_no_file() {
    let world = World::new();
    let schema = Schema::new(vec![Field::new("id", DataType::Int32, false), Field::new("p", DataType::Utf8, false)]);
    let table = world.create_empty(&world.tables(), &["p"], &schema).await.unwrap();
    let cases = [
        ("SELECT 1, 'a' UNION ALL SELECT NULL, 'b'", Code::NotNull),
        ("SELECT 1, ''", Code::NotNull),
        ("SELECT 1, 'a', 3", Code::InvalidStatement),
        ("SELECT 3000000000, 'a'", Code::InvalidValue),
    ];
    for (sql, code) in cases {
        let error = world.insert(&table, sql, WriteMode::Append).await.unwrap_err();
        assert_eq!(error.code, code, "{sql}: {error}");
    }
    let error = world.insert(&table, "SELECT NULL, 'a'", WriteMode::Append).await.unwrap_err();
    assert_eq!(error.message, "column \"id\" of table \"t\" must not be NULL");
    // The engine fails after some rows went into a file.
    let late = "SELECT CASE WHEN value = 20000 THEN 1 / (value - 20000) ELSE 1 END, 'a' FROM generate_series(1, 30000)";
    world.insert(&table, late, WriteMode::Append).await.unwrap_err();
    assert_eq!(table.version(), 0);
    until(|| world.parquet_files().is_empty()).await;
    assert_eq!(world.insert(&table, "SELECT 1, 'a' WHERE false", WriteMode::Append).await.unwrap(), 0);
    assert_eq!(table.version(), 0, "no rows, no version");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_insert_leaves_nothing() {
    let world = World::new();
    let table = world.create(&[], "SELECT 0 AS id").await;
    let before = world.parquet_files();
    // Endless input: the statement can only be cancelled.
    let plan = world.plan(&table, "SELECT value FROM generate_series(1, 9000000000000)", WriteMode::Append).await.unwrap();
    let mut rows = plan.execute(0, world.session.task_ctx()).unwrap();
    let insert = task::spawn("insert", async move { drop(rows.next().await) });
    until(|| world.parquet_files() != before).await;
    insert.abort();
    drop(insert.await);
    until(|| world.parquet_files() == before).await;
    assert_eq!(world.query(&table, "SELECT id FROM t").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overwrite_replaces_what_it_says() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT * FROM (VALUES ('a', 1), ('b', 2), (NULL, 3), ('c', 4)) AS v(p, id)").await;
    let partitions = |fixed: &[(&str, Option<&str>)]| WriteMode::OverwritePartitions {
        fixed: fixed.iter().map(|(column, value)| ((*column).to_owned(), value.map(str::to_owned))).collect(),
    };
    let all = "SELECT p, id FROM t ORDER BY id";
    let old = table.snapshot();
    world.insert(&table, "SELECT 'b', 20", partitions(&[])).await.unwrap();
    assert_eq!(world.query(&table, all).await, ["a|1", "|3", "c|4", "b|20"], "partitions that got rows");
    world.insert(&table, "SELECT 'a', 1 WHERE false", partitions(&[("P", Some("a"))])).await.unwrap();
    assert_eq!(world.query(&table, all).await, ["|3", "c|4", "b|20"], "a named partition, without rows");
    world.insert(&table, "SELECT NULL, 30", partitions(&[("p", None)])).await.unwrap();
    assert_eq!(world.query(&table, all).await, ["c|4", "b|20", "|30"], "the partition of NULL");
    world.insert(&table, "SELECT 'z', 1", WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(world.query(&table, all).await, ["z|1"]);
    assert_eq!(world.query_at(old, all).await, ["a|1", "b|2", "|3", "c|4"], "a pinned version does not change");
    world.insert(&table, "SELECT 'z', 1 WHERE false", WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(world.query(&table, all).await, Vec::<String>::new(), "the whole table, without rows");
    let error = world.insert(&table, "SELECT 'b', 1", partitions(&[("q", None)])).await.unwrap_err();
    assert_eq!(error.code, Code::UndefinedColumn);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_partitions_than_open_files_and_little_memory() {
    let world = World::with_memory(24 << 20);
    let sql = "SELECT value AS id, value % 500 AS p FROM generate_series(0, 49999)";
    let table = world.create(&["p"], sql).await;
    let totals = "SELECT count(*), sum(id), count(DISTINCT p), min(n), max(n) FROM (SELECT *, count(*) OVER (PARTITION BY p) AS n FROM t)";
    assert_eq!(world.query(&table, totals).await, ["50000|1249975000|500|100|100"]);
    assert_eq!(table.version(), 1, "one commit");
    assert_eq!(world.parquet_files(), World::live_files(&table));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_inserts_are_all_there() {
    let world = Arc::new(World::new());
    let table = world.create(&[], "SELECT -1 AS writer, -1 AS n").await;
    let writers = (0..6).map(|writer| {
        let (world, table) = (Arc::clone(&world), Arc::clone(&table));
        task::spawn(format!("writer {writer}"), async move {
            for n in 0..8 {
                world.insert(&table, &format!("SELECT {writer} AS writer, {n} AS n"), WriteMode::Append).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let expected = ["49|6|7|49"];
    let sql = "SELECT count(*), count(DISTINCT writer) - 1, max(n), count(DISTINCT (writer * 100 + n)) FROM t";
    assert_eq!(world.query(&table, sql).await, expected);
    assert_eq!(world.query(world.reopen().await.as_ref(), sql).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_table_takes_no_rows_and_leaves_no_directory() {
    let world = World::new();
    let tables = world.tables();
    let schema = world.schema_of("SELECT 1 AS id").await;
    let table = world.create_empty(&tables, &[], &schema).await.unwrap();
    world.insert(&table, "SELECT 1", WriteMode::Append).await.unwrap();
    tables.close("t1", Some(&(&world.path()).into())).await.unwrap();
    assert!(!world.path().exists());
    assert_eq!(world.insert(&table, "SELECT 2", WriteMode::Append).await.unwrap_err().code, Code::Conflict);
    tables.close("t1", Some(&(&world.path()).into())).await.unwrap();
}
