//! Avro records and a schema registry that is a few lines of HTTP.

use super::*;
use crate::connect::kafka::decode::{Record, Rows};
use datafusion::arrow::util::display::array_value_to_string;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers `/schemas/ids/N`, to one user.
struct TestRegistry {
    url: String,
    schemas: Arc<Mutex<BTreeMap<u32, String>>>,
    n_requests: Arc<AtomicUsize>,
    /// So many requests are answered with HTTP 503 first.
    n_outages: Arc<AtomicUsize>,
}

impl TestRegistry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = Self { url, schemas: Arc::default(), n_requests: Arc::default(), n_outages: Arc::default() };
        let (schemas, n_requests, n_outages) =
            (Arc::clone(&registry.schemas), Arc::clone(&registry.n_requests), Arc::clone(&registry.n_outages));
        std::thread::Builder::new()
            .name("test registry".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    let Ok(mut stream) = stream else { continue };
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut head = Vec::new();
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                            break;
                        }
                        head.push(line);
                    }
                    n_requests.fetch_add(1, Ordering::SeqCst);
                    // "me:pw" in base 64.
                    let knows_us = head.iter().any(|line| line.trim().eq_ignore_ascii_case("authorization: Basic bWU6cHc="));
                    let id = head.first().and_then(|line| line.split(' ').nth(1)?.strip_prefix("/schemas/ids/")?.parse().ok());
                    let found = id.and_then(|id: u32| schemas.lock().unwrap().get(&id).cloned());
                    let is_out = n_outages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                    let (status, body) = match found {
                        _ if is_out => ("503 Unavailable", "{}".to_string()),
                        _ if !knows_us => ("401 Unauthorized", "{}".to_string()),
                        Some(schema) => ("200 OK", serde_json::json!({ "schema": schema }).to_string()),
                        None => ("404 Not Found", "{\"error_code\":40403,\"message\":\"Schema not found\"}".to_string()),
                    };
                    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
                    let _ = stream.write_all(answer.as_bytes());
                }
            })
            .unwrap();
        registry
    }

    fn set(&self, id: u32, fields: &str) {
        let schema = format!("{{\"type\":\"record\",\"name\":\"Event\",\"fields\":[{fields}]}}");
        self.schemas.lock().unwrap().insert(id, schema);
    }

    fn options(&self, brokers: &str, more: &[(&str, &str)]) -> KafkaOptions {
        let mut pairs = vec![("topic", "events"), ("properties.bootstrap.servers", brokers), ("format", "avro-confluent")];
        pairs.extend([("avro-confluent.url", self.url.as_str()), ("avro-confluent.basic-auth.user", "me")]);
        pairs.extend(more);
        let pairs = pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let secret = vec![("avro-confluent.basic-auth.password".to_string(), "pw".to_string())];
        KafkaOptions::parse("t", pairs, secret, &|path| Ok(path.into())).unwrap()
    }
}

/// A number as Avro writes it.
fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [long(value.len() as i64), value.as_bytes().to_vec()].concat()
}

fn record(id: u32, parts: &[Vec<u8>]) -> Vec<u8> {
    [vec![0], id.to_be_bytes().to_vec(), parts.concat()].concat()
}

fn table() -> SourceColumns {
    let mut columns = id_column();
    for (name, data_type) in [("name", DataType::Utf8), ("price", DataType::Float64)] {
        let field = Arc::new(Field::new(name, data_type, true));
        columns.columns.push(SourceColumn { field, origin: Origin::Payload });
    }
    columns
}

fn decode(rows: &mut Rows, payloads: &[Vec<u8>]) -> (Vec<String>, Vec<(i64, String)>) {
    for (offset, payload) in payloads.iter().enumerate() {
        rows.push(&Record { offset: offset as i64, payload: Some(payload), ..Record::default() });
    }
    let decoded = rows.finish().unwrap();
    let columns = decoded.rows.columns()[..3].to_vec();
    let show = |row: usize| {
        let values = columns.iter().map(|column| array_value_to_string(column, row).unwrap());
        let offset = decoded.rows.column(4).as_primitive::<Int64Type>().value(row);
        format!("{}@{offset}", values.collect::<Vec<_>>().join("|"))
    };
    let letters = decoded.dead_letters.iter().map(|letter| (letter.offset, letter.error.clone())).collect();
    ((0..decoded.rows.num_rows()).map(show).collect(), letters)
}

const FIRST: &str = r#"{"name":"id","type":"long"},{"name":"name","type":["null","string"]}"#;
const SECOND: &str = r#"{"name":"price","type":"double"},{"name":"more","type":"string"},{"name":"ID","type":"int"}"#;

#[test]
fn bad_avro_is_buried_and_schemas_may_change() {
    let registry = TestRegistry::start();
    registry.set(1, FIRST);
    registry.set(2, SECOND);
    registry.set(3, r#"{"name":"id","type":{"type":"array","items":"long"}}"#);
    let rows = &mut Rows::new(&registry.options("b:1", &[]), &table()).unwrap();
    let first = |id: i64| record(1, &[long(id), long(1), text("a")]);
    let second = |id: i64| record(2, &[2.5_f64.to_le_bytes().to_vec(), text("new"), long(id)]);
    let (found, letters) = decode(
        rows,
        &[
            first(1),
            vec![0, 0, 0],
            b"{\"id\":1}".to_vec(),
            second(2),
            record(1, &[long(3), long(1), text("cut off")[..4].to_vec()]),
            first(4),
            [first(5), vec![7]].concat(),
            record(1, &[long(6), long(0)]),
            record(9, &[long(1)]),
            record(3, &[long(0)]),
            second(7),
            record(1, &[long(8), long(5), text("no such branch")]),
            first(9),
        ],
    );
    // arrow-avro takes a branch that the union does not have for its last one.
    assert_eq!(found, ["1|a|@0", "2||2.5@3", "4|a|@5", "6||@7", "7||2.5@10", "8|no such branch|@11", "9|a|@12"]);
    let offsets = letters.iter().map(|(offset, _)| *offset).collect::<Vec<_>>();
    assert_eq!(offsets, [1, 2, 4, 6, 8, 9], "{letters:?}");
    for (at, part) in [(0, "shorter than"), (1, "zero byte"), (4, "has no schema 9"), (5, "cannot be made from")] {
        assert!(letters[at].1.contains(part), "{letters:?}");
    }
    // Each schema was asked for once; the one that is missing three times, and then remembered.
    let n_requests = registry.n_requests.load(Ordering::SeqCst);
    assert_eq!(n_requests, 3 + 3);
    let (found, letters) = decode(rows, &[first(1), record(9, &[]), second(2)]);
    assert_eq!((found.len(), letters.len(), registry.n_requests.load(Ordering::SeqCst)), (2, 1, n_requests));
}

#[test]
fn values_that_do_not_fit_are_buried_or_null() {
    let registry = TestRegistry::start();
    registry.set(1, r#"{"name":"id","type":"string"},{"name":"name","type":"string"}"#);
    let payloads = ["7", "x", "8"].map(|id| record(1, &[text(id), text("a")]));
    let rows = &mut Rows::new(&registry.options("b:1", &[]), &table()).unwrap();
    let (found, letters) = decode(rows, &payloads);
    assert_eq!(found, ["7|a|@0", "8|a|@2"]);
    assert_eq!(letters, [(1, "column \"id\" is not of type BIGINT".to_string())]);
    let rows = &mut Rows::new(&registry.options("b:1", &[("on_type_conflict", "null")]), &table()).unwrap();
    let (found, letters) = decode(rows, &payloads);
    assert_eq!((found.as_slice(), letters.len()), (["7|a|@0", "|a|@1", "8|a|@2"].map(str::to_string).as_slice(), 0));
}

#[tokio::test]
async fn a_registry_that_is_away_is_waited_for() {
    let bench = Bench::new(1);
    let registry = TestRegistry::start();
    registry.set(1, r#"{"name":"id","type":"long"}"#);
    registry.n_outages.store(2, Ordering::SeqCst);
    let options = registry.options(bench.broker.bootstrap_servers(), &[]);
    for id in [3, 4] {
        let payload = record(1, &[long(id)]);
        bench.producer.send("events", Outgoing { payload: Some(&payload), ..Outgoing::default() }).unwrap();
    }
    bench.producer.flush("events", WAIT_MAX).unwrap();
    let mut reading = Reading::start(options.clone(), &[], true, 8);
    reading.until_rows(2).await;
    assert_eq!((reading.ids(), reading.fetched.iter().map(|fetched| fetched.dead_letters.len()).sum::<usize>()), (vec![3, 4], 0));
    reading.handle.stop();
    let found = tokio::task::spawn_blocking(move || infer(&options, 5)).await.unwrap().unwrap();
    assert_eq!(found, [("id".to_string(), "BIGINT".to_string())]);
}
