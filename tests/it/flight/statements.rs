//! Prepared statements, parameters, cancelling, and the code of every kind of failure.

use super::wire::{Wire, prepared_query, statement, status_of};
use crate::harness::Server;
use crate::harness::client::cells;
use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus};
use base64::Engine as _;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, ListArray, NullArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use datafusion::arrow::record_batch::RecordBatch;
use futures::StreamExt;
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

/// Runs for hours if nobody stops it.
const LONG: &str = "SELECT a.value + b.value AS total FROM generate_series(1, 10000000) AS a(value) \
                    CROSS JOIN generate_series(1, 10000000) AS b(value)";

/// The same with one row at its end.
const LONG_WITHOUT_ROWS: &str = "SELECT count(*) FROM generate_series(1, 10000000) AS a(value) \
                                 CROSS JOIN generate_series(1, 10000000) AS b(value) WHERE a.value * b.value % 7 = 8";

fn row(columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_from_iter(columns.into_iter().enumerate().map(|(idx, column)| ((idx + 1).to_string(), column))).expect("a batch")
}

async fn with_table() -> (Server, Wire) {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    wire.query("CREATE TABLE t (id BIGINT, name VARCHAR, price DECIMAL(10, 2), day DATE, at TIMESTAMP, ok BOOLEAN)").await.unwrap();
    wire.query("INSERT INTO t (id, name) VALUES (1, 'one'), (2, 'two'), (3, NULL)").await.unwrap();
    (server, wire)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_have_the_types_of_what_they_meet() {
    use DataType::*;
    let (_server, wire) = with_table().await;
    let micros = Timestamp(TimeUnit::Microsecond, None);
    let cases: Vec<(&str, Vec<DataType>)> = vec![
        ("SELECT 1", vec![]),
        ("SELECT * FROM t WHERE id = ?", vec![Int64]),
        ("SELECT * FROM t WHERE ? = name AND price > ?", vec![Utf8, Decimal128(10, 2)]),
        ("SELECT * FROM t WHERE day BETWEEN ? AND ?", vec![Date32, Date32]),
        ("SELECT * FROM t WHERE at >= ? OR ok = ?", vec![micros, Boolean]),
        ("SELECT * FROM t WHERE id IN (?, ?, ?)", vec![Int64, Int64, Int64]),
        ("SELECT * FROM t WHERE name LIKE ?", vec![Utf8]),
        ("SELECT * FROM t WHERE id = $2 AND name = $1", vec![Utf8, Int64]),
        ("SELECT CAST(? AS DOUBLE), CAST(? AS INT)", vec![Float64, Int32]),
        ("SELECT * FROM t LIMIT ?", vec![Int64]),
        // Of no type that the query says.
        ("SELECT id FROM t UNION ALL SELECT ?", vec![Utf8]),
        ("SELECT id FROM t WHERE id IN (SELECT ?)", vec![Utf8]),
        ("SELECT * FROM generate_series(?, ?) AS s(id) WHERE id <> ?", vec![Int64, Int64, Int64]),
        ("INSERT INTO t (name, id) VALUES (?, ?)", vec![Utf8, Int64]),
        ("SELECT '?', \"name\" /* ? */ FROM t WHERE id = ? -- ?", vec![Int64]),
    ];
    for (sql, expected) in cases {
        let prepared = wire.prepare(sql).await.unwrap_or_else(|status| panic!("{sql}: {status}"));
        let fields = prepared.parameters.fields();
        let found: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(found, expected, "{sql}");
        assert!(fields.iter().all(|field| field.is_nullable()), "{sql}");
    }
    // JDBC cannot bind what has the type Null.
    let untyped = wire.prepare("SELECT ? AS v").await.unwrap();
    assert_eq!(untyped.parameters.field(0).data_type(), &Utf8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_bound_to_table_functions() {
    let (server, wire) = with_table().await;
    let make = "CREATE MODEL liked OPTIONS (model_type='als', feedback_type='implicit', rank=2, data_split_method='no_split') \
                AS SELECT value % 5 AS user_id, value % 7 AS item_id, 1 AS rating FROM generate_series(1, 40)";
    server.sql(make).await;
    let prepared = wire.prepare("SELECT item_id FROM recommend_from('liked', ?, ?, 10) WHERE item_id < 4 ORDER BY 1").await.unwrap();
    let items = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), Some(2)])]);
    let ratings = ListArray::from_iter_primitive::<Float64Type, _, _>([Some([Some(1.0), Some(-0.5)])]);
    wire.bind(&prepared.handle, row(vec![Arc::new(items), Arc::new(ratings)])).await.unwrap();
    let info = wire.info(prepared_query(&prepared.handle)).await.unwrap();
    // Those that were given are left out.
    assert_eq!(cells(&wire.rows_of(&info).await.unwrap().batches), [["0"], ["3"]]);
    let bounded = make.replace("liked", "bounded").replace("generate_series(1, 40)", "generate_series(1, 40) WHERE value > ?");
    let refused = wire.prepare(&bounded).await.err().expect("the query is kept, a value would not be");
    assert!(refused.message().contains("the query of CREATE MODEL takes no parameters"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_bound_replaced_and_checked() {
    let (_server, wire) = with_table().await;
    let prepared = wire.prepare("SELECT name FROM t WHERE id = ? AND name = ?").await.unwrap();
    let run = async || {
        let info = wire.info(prepared_query(&prepared.handle)).await?;
        Ok::<_, Status>(cells(&wire.rows_of(&info).await?.batches))
    };
    let unbound = run().await.expect_err("nothing is bound");
    assert_eq!(unbound.code(), Code::InvalidArgument, "{unbound}");
    for (id, name, expected) in [(1, "one", vec![vec!["one"]]), (2, "one", vec![]), (2, "two", vec![vec!["two"]])] {
        let batch = row(vec![Arc::new(Int64Array::from(vec![id])), Arc::new(StringArray::from(vec![name]))]);
        wire.bind(&prepared.handle, batch).await.unwrap();
        assert_eq!(run().await.unwrap(), expected, "{id} {name}");
        assert_eq!(run().await.unwrap(), expected, "what is bound stays bound");
    }
    // A narrower type and NULL fit.
    let batch = row(vec![Arc::new(Int32Array::from(vec![2])), Arc::new(StringArray::from(vec!["two"]))]);
    wire.bind(&prepared.handle, batch).await.unwrap();
    assert_eq!(run().await.unwrap(), [["two"]]);
    let batch = row(vec![Arc::new(Int64Array::from(vec![3])), Arc::new(NullArray::new(1))]);
    wire.bind(&prepared.handle, batch).await.unwrap();
    assert!(run().await.unwrap().is_empty());
    // Arguments of a table function, also inside a cast: they are needed to make the plan.
    let series = wire.prepare("SELECT sum(value) FROM generate_series(?, CAST(? AS BIGINT), 2)").await.unwrap();
    wire.bind(&series.handle, row(vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["9"]))])).await.unwrap();
    let info = wire.info(prepared_query(&series.handle)).await.unwrap();
    assert_eq!(cells(&wire.rows_of(&info).await.unwrap().batches), [["25"]]);
    let days = wire.prepare("SELECT value FROM generate_series(DATE '2026-01-30', CAST(? AS DATE), INTERVAL '1 day')").await.unwrap();
    wire.bind(&days.handle, row(vec![Arc::new(StringArray::from(vec!["2026-02-01"]))])).await.unwrap();
    let rows = wire.rows_of(&wire.info(prepared_query(&days.handle)).await.unwrap()).await.unwrap();
    assert_eq!((rows.schema, cells(&rows.batches).len()), (days.dataset, 3));
    // The wrong number, and a value that is no number.
    let refuse = async |batch: RecordBatch, part: &str| {
        let status = match wire.bind(&prepared.handle, batch).await {
            Err(status) => status,
            Ok(()) => run().await.expect_err(part),
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(part), "{status}");
    };
    refuse(row(vec![Arc::new(Int64Array::from(vec![1]))]), "2 parameters").await;
    refuse(
        row(vec![Arc::new(StringArray::from(vec!["many"])), Arc::new(StringArray::from(vec!["two"]))]),
        "parameter 1 cannot be read as BIGINT",
    )
    .await;
    let batch = row(vec![Arc::new(Int64Array::from(vec![1])), Arc::new(StringArray::from(vec!["one"]))]);
    wire.bind(&prepared.handle, batch).await.unwrap();
    assert_eq!(run().await.unwrap(), [["one"]], "the statement is usable after a refusal");

    // A value that would have to be cut finds nothing, as the literal would.
    let by_id = wire.prepare("SELECT id FROM t WHERE id = ?").await.unwrap();
    for (id, n_rows) in [(2.0, 1), (2.5, 0)] {
        wire.bind(&by_id.handle, row(vec![Arc::new(Float64Array::from(vec![id]))])).await.unwrap();
        let info = wire.info(prepared_query(&by_id.handle)).await.unwrap();
        assert_eq!(cells(&wire.rows_of(&info).await.unwrap().batches).len(), n_rows, "{id}");
    }

    wire.close(prepared.handle.clone()).await.unwrap();
    wire.close(prepared.handle.clone()).await.expect("closing twice is no error");
    wire.close(bytes::Bytes::from_static(b"\xff")).await.expect("closing what never was is no error");
    assert_eq!(run().await.expect_err("the statement is closed").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_sees_the_table_as_it_is_when_it_runs() {
    let (_server, wire) = with_table().await;
    let count = wire.prepare("SELECT count(*) FROM t").await.unwrap();
    let run = async || {
        let info = wire.info(prepared_query(&count.handle)).await?;
        Ok::<_, Status>(cells(&wire.rows_of(&info).await?.batches))
    };
    assert_eq!(run().await.unwrap(), [["3"]]);
    wire.query("INSERT INTO t (id) VALUES (4)").await.unwrap();
    assert_eq!(run().await.unwrap(), [["4"]]);
    // Also when it was planned before, for its columns; a query without tables sees the session as it is.
    let database = wire.prepare("SELECT current_database(), ?").await.unwrap();
    wire.bind(&database.handle, row(vec![Arc::new(Int64Array::from(vec![7]))])).await.unwrap();
    wire.query("CREATE DATABASE other").await.unwrap();
    for (change, count_after, database_after) in
        [("INSERT INTO public.t (id) VALUES (5)", "5", "public"), ("USE other", "5", "other"), ("USE public", "5", "public")]
    {
        let infos = [statement("SELECT count(*) FROM public.t"), prepared_query(&database.handle)];
        let infos = [wire.info(infos[0].clone()).await.unwrap(), wire.info(infos[1].clone()).await.unwrap()];
        wire.query(change).await.unwrap();
        assert_eq!(cells(&wire.rows_of(&infos[0]).await.unwrap().batches), [[count_after]], "{change}");
        assert_eq!(cells(&wire.rows_of(&infos[1]).await.unwrap().batches), [[database_after, "7"]], "{change}");
    }
    wire.query("DROP TABLE t").await.unwrap();
    let gone = run().await.expect_err("the table is gone");
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
}

async fn cancel(wire: &Wire, info: &arrow_flight::FlightInfo) -> Result<i32, Status> {
    let bodies = wire.act("CancelFlightInfo", CancelFlightInfoRequest::new(info.clone()).encode_to_vec()).await?;
    Ok(CancelFlightInfoResult::decode(&*bodies[0]).expect("a CancelFlightInfoResult").status)
}

/// Waits until the history knows how a statement ended.
async fn state_of(wire: &Wire, part: &str) -> String {
    let sql = format!("SELECT state FROM system.queries WHERE sql LIKE '{part}%' AND sql NOT LIKE '%system.queries%'");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let states = cells(&wire.query(&sql).await.expect("the history").batches).concat();
        match states.as_slice() {
            [state] if !["planning", "running"].contains(&state.as_str()) => return state.clone(),
            states if Instant::now() > deadline => panic!("after 20 s the states are {states:?}"),
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_sends_rows_is_cancelled() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let info = wire.info(statement(LONG)).await.unwrap();
    let mut stream = wire.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    stream.next().await.expect("a batch").expect("that is good");
    assert_eq!(cancel(&wire, &info).await.unwrap(), CancelStatus::Cancelled as i32);
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            match stream.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break status_of(error),
                None => panic!("the stream ended as if it were whole"),
            }
        }
    });
    assert_eq!(ended.await.expect("the stream ends").code(), Code::Cancelled);
    assert_eq!(state_of(&wire, "SELECT a.value").await, "cancelled");
    let again = cancel(&wire, &info).await.expect_err("it runs no more");
    assert_eq!(again.code(), Code::NotFound, "{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_has_no_row_yet_is_cancelled() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let info = wire.info(statement(LONG_WITHOUT_ROWS)).await.unwrap();
    let mut stream = wire.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let (read, cancelled) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), stream.next()), cancel(&wire, &info));
    assert_eq!(cancelled.unwrap(), CancelStatus::Cancelled as i32);
    let error = read.expect("the stream ends").expect("with an error").expect_err("not with a row");
    assert_eq!(status_of(error).code(), Code::Cancelled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_stops_its_query() {
    let server = Server::start();
    let wire = Wire::connect(server.address(), &[]).await;
    let info = wire.info(statement(LONG)).await.unwrap();
    let mut stream = wire.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    stream.next().await.expect("a batch").expect("that is good");
    drop(stream);
    assert_eq!(state_of(&wire, "SELECT a.value").await, "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_failure_has_its_code() {
    let (server, wire) = with_table().await;
    let long_text = format!("SELECT '{}'", "x".repeat(2 * 1024 * 1024));
    let cases = [
        ("SELEC 1", Code::InvalidArgument, "SELEC"),
        ("SELECT * FROM t WHERE", Code::InvalidArgument, ""),
        ("", Code::InvalidArgument, ""),
        ("SELECT nam FROM t", Code::InvalidArgument, "name"),
        ("SELECT nosuch(1)", Code::InvalidArgument, "nosuch"),
        ("SELECT CAST(name AS INT) FROM t", Code::InvalidArgument, "one"),
        ("SELECT 1 / 0", Code::InvalidArgument, ""),
        ("SELECT * FROM nothing", Code::NotFound, "nothing"),
        ("SELECT * FROM nowhere.t", Code::NotFound, "nowhere"),
        ("DROP TABLE nothing", Code::NotFound, "nothing"),
        ("CREATE TABLE t (a INT)", Code::AlreadyExists, "t\" already exists"),
        ("CREATE TABLE IF NOT EXIST t (a INT)", Code::InvalidArgument, ""),
        ("USE nowhere", Code::NotFound, "nowhere"),
        ("SET no_such_setting = 1", Code::InvalidArgument, "no_such_setting"),
        (&long_text, Code::ResourceExhausted, "the limit is 1048576"),
        ("CREATE EXTERNAL TABLE x (a INT) STORED AS CSV LOCATION '/etc'", Code::PermissionDenied, "/etc"),
    ];
    let mut failures = Vec::new();
    for (sql, code, part) in cases {
        let shown: String = sql.chars().take(60).collect();
        match wire.query(sql).await {
            Ok(_) => failures.push(format!("{shown}: no error")),
            Err(status) => {
                let message = status.message();
                let good = status.code() == code && message.contains(part) && !message.contains('\n') && !message.is_empty();
                if !good || status.metadata().get("x-weir-sqlstate").is_none() {
                    failures.push(format!("{shown}: expected {code:?} and \"{part}\", got {:?}: {message}", status.code()));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(cells(&wire.query("SELECT count(*) FROM t").await.unwrap().batches), [["3"]], "nothing has changed");
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_reads_and_changes_nothing() {
    let (server, admin) = with_table().await;
    admin.query("CREATE USER ann PASSWORD 'ann is here'").await.unwrap();
    let credentials = base64::engine::general_purpose::STANDARD.encode("ann:ann is here");
    let ann = Wire::connect(server.address(), &[("authorization", &format!("Basic {credentials}"))]).await;
    assert_eq!(cells(&ann.query("SELECT count(*) FROM t").await.unwrap().batches), [["3"]]);
    for sql in [
        "INSERT INTO t (id) VALUES (9)",
        "CREATE TABLE mine (a INT)",
        "CREATE TABLE mine AS SELECT * FROM t",
        "CREATE VIEW mine AS SELECT * FROM t",
        "CREATE DATABASE mine",
        "DROP TABLE t",
        "CREATE USER bob PASSWORD 'bob is here'",
        "ALTER USER ann ADMIN",
        "COPY t TO '/data/t.csv'",
    ] {
        let Err(status) = ann.query(sql).await else { panic!("a reader may {sql}") };
        assert_eq!(status.code(), Code::PermissionDenied, "{sql}: {status}");
        assert!(ann.prepare(sql).await.is_err() || ann.query(sql).await.is_err(), "{sql}");
    }
    assert_eq!(cells(&admin.query("SELECT count(*) FROM t").await.unwrap().batches), [["3"]]);
    assert!(!cells(&admin.query("SHOW TABLES").await.unwrap().batches).concat().contains(&"mine".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_much_is_refused_as_too_much() {
    let server = Server::start_with(&["--dev", "--set", "limits.queries_per_user_max=1"]);
    let wire = Wire::connect(server.address(), &[]).await;
    let info = wire.info(statement(LONG)).await.unwrap();
    let mut stream = wire.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    stream.next().await.expect("a batch").expect("that is good");
    let Err(status) = wire.query("SELECT 1").await else { panic!("two queries of a user run at once") };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(20);
    while wire.query("SELECT 1").await.is_err() {
        assert!(Instant::now() < deadline, "the place does not come back");
        tokio::task::yield_now().await;
    }
}
