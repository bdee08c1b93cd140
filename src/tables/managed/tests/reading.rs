//! What a scan returns, skips and refuses to open.

use super::*;
use datafusion::arrow::datatypes::DataType;
use datafusion::physical_plan::displayable;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_reads_back_after_reopening() {
    let world = World::new();
    let sql = "SELECT 1 AS id, true AS b, arrow_cast(1, 'Int8') AS i8, arrow_cast(2, 'UInt16') AS u16, arrow_cast(18446744073709551615, 'UInt64') AS u64, \
        arrow_cast(1.5, 'Float32') AS f32, 0.1 AS f64, CAST(-1.05 AS DECIMAL(10, 2)) AS d, CAST(1.5 AS DECIMAL(38, 3)) AS big, 'é' AS s, X'00ff' AS bin, \
        DATE '1969-12-31' AS day, TIMESTAMP '2020-02-29T12:00:00.123456' AS ntz, arrow_cast('2020-02-29T12:00:00Z', 'Timestamp(Second, Some(\"UTC\"))') AS utc, \
        [1, NULL] AS list, named_struct('x', 1, 'y', 'z') AS st, MAP {'k': 1} AS m, NULL AS nothing \
        UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";
    let table = world.create(&[], sql).await;
    let expected = [
        "1|true|1|2|18446744073709551615|1.5|0.1|-1.05|1.500|é|00ff|1969-12-31|2020-02-29T12:00:00.123456|2020-02-29T12:00:00Z|[1, ]|{x: 1, y: z}|{k: 1}|",
        "2||||||||||||||||",
    ];
    let all = "SELECT * FROM t ORDER BY id";
    let trim = |rows: Vec<String>| rows.into_iter().map(|row| row.trim_end_matches('|').to_owned()).collect::<Vec<_>>();
    let expected: Vec<&str> = expected.iter().map(|row| row.trim_end_matches('|')).collect();
    assert_eq!(trim(world.query(&table, all).await), expected);
    let reopened = world.reopen().await;
    assert_eq!(trim(world.query(&reopened, all).await), expected);
    assert_eq!(reopened.schema(), table.schema());
    assert_eq!(reopened.schema().field_with_name("u64").unwrap().data_type(), &DataType::Decimal128(20, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_columns_keep_their_place_and_any_value() {
    let world = World::new();
    let long = "x".repeat(400);
    let sql = format!(
        "SELECT * FROM (VALUES (1, 'a/b=c%20 d', DATE '2020-01-01', 'one'), (2, NULL, NULL, 'two'), (3, '', DATE '2020-01-02', 'three'), \
         (4, 'São \"Paulo\"?#', DATE '2020-01-01', 'four'), (5, '{long}', NULL, 'five'), (6, '..', NULL, 'six'), (7, '__HIVE_DEFAULT_PARTITION__', NULL, 'seven')) AS v(id, city, day, name)"
    );
    let table = world.create(&["day", "city"], &sql).await;
    assert_eq!(table.partition_columns(), ["day", "city"]);
    let long_row = format!("5|{long}||five");
    let expected = [
        "1|a/b=c%20 d|2020-01-01|one",
        "2|||two",
        "3||2020-01-02|three",
        "4|São \"Paulo\"?#|2020-01-01|four",
        &long_row,
        "6|..||six",
        "7|__HIVE_DEFAULT_PARTITION__||seven",
    ];
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, "SELECT * FROM t ORDER BY id").await, expected);
        assert_eq!(world.query(table, "SELECT name, city FROM t WHERE id = 4").await, ["four|São \"Paulo\"?#"]);
        assert_eq!(world.query(table, "SELECT id FROM t WHERE city IS NULL ORDER BY id").await, ["2", "3"]);
        assert_eq!(world.query(table, "SELECT id FROM t WHERE day = DATE '2020-01-01' AND city LIKE 'S%'").await, ["4"]);
        assert_eq!(
            world.query(table, "SELECT id FROM t WHERE lower(city) = '..' OR day > DATE '2020-01-01' ORDER BY id").await,
            ["3", "6"]
        );
        assert_eq!(world.query(table, "SELECT count(*), count(city), max(day) FROM t").await, ["7|5|2020-01-02"]);
    }
}

/// How many files a query reads.
async fn n_files(world: &World, table: &ManagedTable, sql: &str) -> usize {
    drop(world.session.deregister_table("t").unwrap());
    world.session.register_table("t", table.snapshot()).unwrap();
    let plan = world.session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(true).to_string().matches(".parquet").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_match_are_not_read() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT value AS id, value / 10 AS p, CAST(value AS DOUBLE) AS x FROM generate_series(0, 39)").await;
    // A file with NULL only, and one with NaN, whose bounds must not hide it.
    world.insert(&table, "SELECT NULL, 9, 'NaN'::DOUBLE UNION ALL SELECT NULL, 9, 1.0", WriteMode::Append).await.unwrap();
    for (sql, expected) in [
        ("SELECT * FROM t", 5),
        ("SELECT * FROM t WHERE p = 2", 1),
        ("SELECT * FROM t WHERE p IN (1, 3) AND id < 100", 2),
        ("SELECT * FROM t WHERE p % 2 = 1", 3),
        ("SELECT * FROM t WHERE id = 25", 1),
        ("SELECT * FROM t WHERE id > 1000", 0),
        ("SELECT * FROM t WHERE id IS NULL", 1),
        ("SELECT * FROM t WHERE id < 5 OR p = 3", 2),
        ("SELECT * FROM t WHERE x > 100", 1),
        ("SELECT count(*) FROM t", 0),
        ("SELECT count(*) FROM t WHERE p = 3", 0),
        ("SELECT min(id), max(id) FROM t WHERE p = 3", 0),
    ] {
        let table = world.reopen().await;
        assert_eq!(n_files(&world, &table, sql).await, expected, "{sql}");
    }
    assert_eq!(world.query(&table, "SELECT count(*) FROM t WHERE p = 3").await, ["10"]);
    assert_eq!(world.query(&table, "SELECT count(*) FROM t WHERE x > 100").await, ["1"], "NaN is greater than every number");
    assert_eq!(world.query(&table, "SELECT min(id), max(id), count(id), count(*) FROM t").await, ["0|39|40|42"]);
    assert_eq!(world.query(&table, "SELECT count(*) FROM t WHERE id = (SELECT max(id) FROM t)").await, ["1"]);
    assert_eq!(world.query(&table, "SELECT id FROM t WHERE p = 3 LIMIT 1").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_alone_is_the_table() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT 0 AS id, 'x' AS p").await;
    for id in 1..105 {
        let mode = if id == 50 { WriteMode::OverwriteTable } else { WriteMode::Append };
        world.insert(&table, &format!("SELECT {id}, 'p{}'", id % 3), mode).await.unwrap();
    }
    assert_eq!(table.version(), 105);
    let log = world.path().join("_delta_log");
    // The table waits for its background work when it closes.
    table.close().await;
    assert!(log.join("_last_checkpoint").exists());
    for version in 0..100 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let sql = "SELECT count(*), min(id), max(id), sum(id), count(DISTINCT p) FROM t";
    let reopened = world.reopen().await;
    assert_eq!(world.query(&reopened, sql).await, ["55|50|104|4235|3"]);
    assert_eq!(reopened.generation(), 2, "the generation is in the checkpoint");
    assert_eq!(World::live_files(&reopened), World::live_files(&table));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_unknown_features_or_damage_is_refused() {
    let world = World::new();
    world.create(&[], "SELECT 1 AS id").await;
    let log = world.path().join("_delta_log");
    let first = log.join(format!("{:020}.json", 0));
    let entry = std::fs::read_to_string(&first).unwrap();
    let protocol = r#""minReaderVersion":1,"minWriterVersion":2"#;
    assert!(entry.contains(protocol), "{entry}");
    let cases = [
        (
            r#""minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]"#,
            "deletionVectors",
        ),
        (r#""minReaderVersion":1,"minWriterVersion":4"#, "writer version 4"),
        (r#""minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["rowTracking","domainMetadata"]"#, "writer feature"),
    ];
    for (changed, named) in cases {
        std::fs::write(&first, entry.replace(protocol, changed)).unwrap();
        let error = world.tables().open("t1", "t", &world.path()).await.unwrap_err();
        assert!(error.code == Code::NotSupported && error.message.contains(named), "{error}");
    }
    std::fs::write(&first, &entry[..entry.len() / 2]).unwrap();
    let error = world.tables().open("t1", "t", &world.path()).await.unwrap_err();
    assert!(error.message.starts_with("could not read the log of table \"t\""), "{error}");
    let error = world.tables().open("t9", "gone", &world.path().with_file_name("gone")).await.unwrap_err();
    assert_eq!(error.code, Code::Io, "{error}");
}
