//! Traps of the engine that SQL alone cannot spring: memory, plans, parameters, panics. Each test is named after
//! what went wrong once; `tests/slt/traps` has the others.

use crate::harness::{Client, Server};
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

async fn fails(client: &mut Client, sql: &str) -> String {
    match client.rows(sql).await {
        Ok(rows) => panic!("{} should fail, it answered {rows:?}", sql.chars().take(200).collect::<String>()),
        Err(error) => error,
    }
}

/// The same count with little memory as with much, or an error: never another number. (apache/datafusion #22641, #24745)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_without_equality_count_right_with_little_memory() {
    let server = Server::start_with(&["--dev", "--set", "limits.memory=64MiB"]);
    let mut client = server.client().await;
    // 300,000 wide rows of which 200,000 match nothing: the side that is buffered does not fit.
    let wide = "(SELECT value AS k, repeat('x', 400) AS t FROM generate_series(1, 300000))";
    client.rows(&format!("CREATE TABLE wide AS SELECT * FROM {wide}")).await.unwrap();
    client.rows("CREATE TABLE narrow AS SELECT value * 50000 AS w, repeat('y', 10) AS u FROM generate_series(0, 1)").await.unwrap();
    let pairs = 299_999 + 249_999;
    for (sql, expected) in [
        ("SELECT count(*), count(w), max(length(t)) FROM wide LEFT JOIN narrow ON k > w + 1", format!("{}\t{pairs}\t400", pairs + 1)),
        ("SELECT count(*), count(w), max(length(t)) FROM narrow RIGHT JOIN wide ON k > w + 1", format!("{}\t{pairs}\t400", pairs + 1)),
        ("SELECT count(*), count(k), max(length(t)) FROM narrow LEFT JOIN wide ON k > w + 1", format!("{pairs}\t{pairs}\t400")),
        ("SELECT count(*), count(k), max(length(t)) FROM wide FULL JOIN narrow ON k > w + 1", format!("{}\t{}\t400", pairs + 1, pairs + 1)),
        (
            "SELECT count(*) FROM wide a LEFT JOIN (SELECT k AS j, t AS s FROM wide WHERE k > 299999) b ON a.k + 100 < b.j AND a.t < b.s || 'z'",
            "300000".into(),
        ),
        ("SELECT count(*), max(length(t)) FROM wide WHERE NOT EXISTS (SELECT 1 FROM narrow WHERE k > w + 1)", "1\t400".into()),
        ("SELECT count(*), max(length(t)) FROM wide WHERE EXISTS (SELECT 1 FROM narrow WHERE k > w + 1)", "299999\t400".into()),
    ] {
        match client.rows(sql).await {
            Ok(rows) => assert_eq!(rows, [expected], "{sql}"),
            Err(error) => assert!(error.to_lowercase().contains("memory") || error.contains("limit"), "{sql}: {error}"),
        }
    }
}

/// Both sides too large for the buffer: the engine's own fallback must not lose or repeat rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_without_equality_of_two_large_sides_count_right() {
    let server = Server::start_with(&["--dev", "--set", "limits.memory=64MiB"]);
    let mut client = server.client().await;
    client.rows("CREATE TABLE l AS SELECT value AS k, repeat('x', 4000) AS t FROM generate_series(1, 15000)").await.unwrap();
    client.rows("CREATE TABLE r AS SELECT value * 100 AS w, repeat('y', 4000) AS u FROM generate_series(1, 15000)").await.unwrap();
    // k > w: for w = 100, 200, .. 14900 there are 15000 - w keys; keys up to 100 match none.
    let pairs: i64 = (1..150).map(|n| 15_000 - n * 100).sum();
    for (sql, expected) in [
        (
            "SELECT count(*), count(w), max(length(t)), max(length(u)) FROM l LEFT JOIN r ON k > w",
            format!("{}\t{pairs}\t4000\t4000", pairs + 100),
        ),
        (
            "SELECT count(*), count(k), max(length(t)), max(length(u)) FROM r LEFT JOIN l ON k > w",
            format!("{}\t{pairs}\t4000\t4000", pairs + 15_000 - 149),
        ),
        (
            "SELECT count(*), max(length(t)) FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE k > w AND length(u) = length(t))",
            "100\t4000".into(),
        ),
    ] {
        match client.rows(sql).await {
            Ok(rows) => assert_eq!(rows, [expected], "{sql}"),
            Err(error) => assert!(error.to_lowercase().contains("memory") || error.contains("limit"), "{sql}: {error}"),
        }
    }
}

/// A hash join does not spill; without the memory for it a sort-merge join answers, or says that memory is short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hash_join_without_memory_becomes_a_sort_merge_join() {
    let server = Server::start_with(&["--dev", "--set", "limits.memory=128MiB"]);
    let mut client = server.client().await;
    for (table, key, column) in [("l", "value", "k"), ("r", "value * 2", "w")] {
        let sql =
            format!("CREATE TABLE {table} AS SELECT {key} AS {column}, repeat('x', 250) || value AS t FROM generate_series(1, 500000)");
        client.rows(&sql).await.unwrap();
    }
    match client.rows("SELECT count(*), sum(k), min(length(l.t)), min(length(r.t)) FROM l JOIN r ON k = w").await {
        Ok(rows) => assert_eq!(rows, ["250000\t62500250000\t251\t251"]),
        // The merge of sorted runs must fit, too: its words show that the second way was tried.
        Err(error) => assert!(error.contains("Sort") && error.contains("memory"), "{error}"),
    }
}

/// Chains of operators are refused or answered; the process lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_chains_do_not_end_the_process() {
    let mut server = Server::start();
    let mut client = server.client().await;
    for n_terms in [240, 2_000, 20_000] {
        for (term, operator) in [("1", " + "), ("a = 1", " OR "), ("'x'", " || "), ("a = 1", " AND "), ("1", " - ")] {
            let chain = vec![term; n_terms].join(operator);
            let sql = format!("SELECT count({chain}) FROM (VALUES (1)) v (a)");
            match client.rows(&sql).await {
                Ok(rows) => assert_eq!(rows, ["1"], "{n_terms} {operator}"),
                Err(error) => assert!(n_terms > 240 && error.contains("too"), "{n_terms} {operator}: {error}"),
            }
        }
    }
    for (shape, sql) in [
        ("union", vec!["SELECT 1"; 4_000].join(" UNION ALL ")),
        ("brackets", format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000))),
        ("functions", format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000))),
        ("case", format!("SELECT {}1{}", "CASE WHEN 1 = 1 THEN ".repeat(3_000), " END".repeat(3_000))),
        ("not", format!("SELECT {}TRUE", "NOT ".repeat(20_000))),
        ("minus", format!("SELECT {}1", "- ".repeat(20_000))),
        ("subqueries", format!("SELECT * FROM {}SELECT 1{}", "(SELECT * FROM (".repeat(1_000), ")) x".repeat(1_000))),
        ("joins", format!("SELECT count(*) FROM (VALUES (1)) v (a){}", " CROSS JOIN (VALUES (1)) v (a)".repeat(2_000))),
        ("arrays", format!("SELECT {}{}", "[".repeat(5_000), "]".repeat(5_000))),
        ("casts", format!("SELECT 1{}", "::INT".repeat(20_000))),
    ] {
        assert!(client.rows(&sql).await.is_err(), "{shape}");
    }
    // Within the limits it is answered.
    let values = (0..5_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(client.rows(&format!("SELECT count(*) FROM generate_series(1, 10) WHERE value IN ({values})")).await.unwrap(), ["10"]);
    let rows = (0..5_000).map(|n| format!("({n}, 'x')")).collect::<Vec<_>>().join(", ");
    assert_eq!(client.rows(&format!("SELECT count(*) FROM (VALUES {rows})")).await.unwrap(), ["5000"]);
    assert_eq!(client.rows("SELECT 1").await.unwrap(), ["1"]);
    assert_eq!(server.terminate(), Some(0));
}

/// In the engine all `?` are one parameter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_parameters_are_distinct() {
    let server = Server::start();
    let mut client = server.client().await;
    client.rows("CREATE TABLE t (a BIGINT, b STRING)").await.unwrap();
    client.rows("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (3, 'x')").await.unwrap();
    let two = |a: i64, b: &str| {
        let columns: Vec<(&str, ArrayRef)> = vec![("1", Arc::new(Int64Array::from(vec![a]))), ("2", Arc::new(StringArray::from(vec![b])))];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    // A mark inside a text, a comment or a quoted name is none.
    let sql = "SELECT a, '?' AS \"?\" FROM t WHERE a > ? AND /* ? */ b = ? -- ?";
    assert_eq!(bound(&mut client, sql, two(1, "x")).await.unwrap(), ["3\t?"]);
    assert_eq!(bound(&mut client, sql, two(0, "y")).await.unwrap(), ["2\t?"]);
    // Numbered ones go by their number.
    assert_eq!(bound(&mut client, "SELECT a FROM t WHERE b = $2 AND a > $1", two(1, "x")).await.unwrap(), ["3"]);
    let error = fails(&mut client, "SELECT a FROM t WHERE a = ?").await;
    assert!(error.contains("parameter"), "{error}");
}

async fn bound(client: &mut Client, sql: &str, parameters: RecordBatch) -> Result<Vec<String>, String> {
    use futures::TryStreamExt;
    let mut prepared = client.inner().prepare(sql.to_owned(), None).await.map_err(|error| error.to_string())?;
    prepared.set_parameters(parameters).map_err(|error| error.to_string())?;
    let info = prepared.execute().await.map_err(|error| error.to_string())?;
    let mut batches = Vec::new();
    for endpoint in info.endpoint {
        let ticket = endpoint.ticket.ok_or("an endpoint without a ticket")?;
        let stream = client.inner().do_get(ticket).await.map_err(|error| error.to_string())?;
        batches.extend(stream.try_collect::<Vec<_>>().await.map_err(|error| error.to_string())?);
    }
    Ok(crate::harness::client::cells(&batches).into_iter().map(|row| row.join("\t")).collect())
}

/// Functions that make large values meet a limit before they meet the memory of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_that_take_a_size_do_not_fill_the_memory() {
    let server = Server::start_with(&["--dev", "--set", "limits.memory=64MiB"]);
    let mut client = server.client().await;
    for sql in [
        "SELECT repeat('a', 2000000000)",
        "SELECT lpad('a', 2000000000, 'b')",
        "SELECT generate_series(1, 2000000000)",
        "SELECT array_repeat([1, 2, 3], 1000000000)",
        "SELECT max(length(repeat('a', 16000000) || value)) FROM generate_series(1, 8192)",
        "SELECT replace(repeat('a', 16000000), 'a', repeat('b', 16000000))",
    ] {
        fails(&mut client, sql).await;
    }
    let resident = server.resident_bytes();
    assert!(resident < 1 << 30, "the server holds {resident} bytes");
    assert_eq!(client.rows("SELECT 1").await.unwrap(), ["1"]);
}

/// A bad Parquet file is an error of the query that reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_parquet_file_ends_one_query() {
    let server = Server::start();
    let mut client = server.client().await;
    client
        .rows("COPY (SELECT value AS a, 'x' || value AS b FROM generate_series(1, 20000)) TO '/data/good.parquet' STORED AS PARQUET")
        .await
        .unwrap();
    let good = std::fs::read(server.data().join("good.parquet")).unwrap();
    // One byte changed, at fixed places of the footer and of the pages: an error, or the right count of rows.
    for place in (1..60).map(|step| good.len() - step * 7).chain((4..400).step_by(40)) {
        let mut bad = good.clone();
        bad[place] ^= 0x7f;
        std::fs::write(server.data().join("bad.parquet"), &bad).unwrap();
        let _ = client.rows("SELECT count(*), min(a), max(b) FROM '/data/bad.parquet' WHERE a > 10").await;
    }
    std::fs::write(server.data().join("short.parquet"), &good[..good.len() / 2]).unwrap();
    let error = fails(&mut client, "SELECT * FROM '/data/short.parquet'").await;
    assert!(error.contains("short.parquet"), "{error}");
    assert_eq!(client.rows("SELECT count(*), min(a) FROM '/data/good.parquet'").await.unwrap(), ["20000\t1"]);
    assert!(!server.log().contains("fatal"), "{}", server.log());
}
