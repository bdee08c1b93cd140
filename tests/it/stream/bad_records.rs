//! A file of bad records: good rows all present, bad ones all among the dead letters, and the counts add up.

use super::*;
use crate::harness::client::Answer;
use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

/// Of a longer payload only so much is kept.
const KEPT_BYTES: usize = 1 << 20;

/// A dead letter: what was sent, or what is kept of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Letter {
    partition: i32,
    offset: i64,
    timestamp_us: i64,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    is_truncated: bool,
}

impl Letter {
    /// What must be kept of a record that cannot be decoded.
    fn of(partition: i32, offset: i64, record: &Record) -> Self {
        let mut payload = record.payload.clone().expect("a payload");
        let is_truncated = payload.len() > KEPT_BYTES;
        payload.truncate(KEPT_BYTES);
        let timestamp_us = record.timestamp_ms.expect("a time") * 1_000;
        Self { partition, offset, timestamp_us, key: record.key.clone(), payload, is_truncated }
    }

    /// The dead letters of a table.
    async fn all(client: &mut Client, table: &str) -> Vec<Self> {
        let sql = format!("SELECT \"partition\", \"offset\", \"timestamp\", key, payload, is_truncated FROM dead_letters('{table}')");
        let answer = client.run(&sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let Answer::Rows(batches) = answer else { panic!("{sql} is answered by a count") };
        let mut letters = Vec::new();
        for batch in &batches {
            let (keys, payloads) = (batch.column(3).as_binary::<i32>(), batch.column(4).as_binary::<i32>());
            letters.extend((0..batch.num_rows()).map(|row| Self {
                partition: batch.column(0).as_primitive::<Int32Type>().value(row),
                offset: batch.column(1).as_primitive::<Int64Type>().value(row),
                timestamp_us: batch.column(2).as_primitive::<TimestampMicrosecondType>().value(row),
                key: keys.is_valid(row).then(|| keys.value(row).to_vec()),
                payload: payloads.value(row).to_vec(),
                is_truncated: batch.column(5).as_boolean().value(row),
            }));
        }
        letters.sort();
        letters
    }

    /// In one line, without the megabyte of a long payload.
    fn shown(&self) -> String {
        let Self { partition, offset, timestamp_us, key, payload, is_truncated } = self;
        let start = String::from_utf8_lossy(&payload[..payload.len().min(40)]);
        format!("{partition}:{offset} at {timestamp_us} key {key:?}, {} bytes {start:?}, truncated: {is_truncated}", payload.len())
    }
}

/// Payload, and whether it is a row.
fn records() -> Vec<(Vec<u8>, bool)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let mut records = vec![
        (text(r#"{"a":1,"b":"one","c":1.5}"#), true),
        (text(r#"{"a":2,"b":"cut off"#), false),
        (text(r#"{"a":3}{"a":3}"#), false),
        (text(r#"{"a":"x"}"#), false),
        (text(r#"{"a":1.5}"#), false),
        (text(r#"{"a":9223372036854775808}"#), false),
        (text(r#"{"a":{"nested":1}}"#), false),
        (b"{\"a\":4,\"b\":\"\xff\xfe\"}".to_vec(), false),
        (Vec::new(), false),
        (text("null"), false),
        (text("[1,2]"), false),
        (text("42"), false),
        (text("no json at all"), false),
        (text(r#"{"a":5,"unknown":true}"#), true),
        (text(r#"{"a":6,"b":null}"#), true),
        (text("{}"), true),
    ];
    // 5 MB in one record.
    records.push((format!(r#"{{"a":7,"b":"{}"}}"#, "x".repeat(5 << 20)).into_bytes(), false));
    records.push((text(r#"{"a":8,"b":"last"}"#), true));
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_dead_letters_and_good_ones_rows() {
    let kafka = Kafka::shared().await;
    let topic = unique("poison");
    kafka.create_topic(&topic, 2, &[("max.message.bytes", "10000000")]).await;
    let server = Server::start();
    let mut client = server.client().await;
    let sql = format!(
        "CREATE STREAMING TABLE poison (a BIGINT, b STRING, c DOUBLE, p INT METADATA FROM 'partition', o BIGINT METADATA FROM 'offset') \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'json', 'commit.interval' = '200 ms')",
        kafka.bootstrap()
    );
    client.rows(&sql).await.unwrap();
    let mut expected_rows = Vec::new();
    let mut expected_dead = Vec::new();
    let sent_at_ms = chrono::Utc::now().timestamp_millis() - 3_600_000;
    // Three times over, on both partitions, so that good and bad ones share fetches and epochs.
    for _ in 0..3 {
        for partition in [0, 1] {
            // Each has a time of its own, every other one a key, which is no text.
            let sent = records().into_iter().zip(0_u8..).map(|((payload, is_row), n)| {
                let key = n.is_multiple_of(2).then(|| vec![0xff, n]);
                (Record { key, timestamp_ms: Some(sent_at_ms + i64::from(n)), ..Record::from(payload) }, is_row)
            });
            let sent: Vec<(Record, bool)> = sent.collect();
            let placed = kafka.produce(&topic, Some(partition), sent.iter().map(|(record, _)| record.clone())).await;
            for ((record, is_row), placed) in sent.iter().zip(placed) {
                match is_row {
                    true => expected_rows.push(format!("{}\t{}", placed.partition, placed.offset)),
                    false => expected_dead.push(Letter::of(placed.partition, placed.offset, record)),
                }
            }
        }
        kafka.produce(&topic, Some(0), [Record::default()]).await; // A tombstone.
    }
    let counts = format!("{}\t{}", expected_rows.len(), expected_dead.len());
    until(&mut client, "SELECT (SELECT count(*) FROM poison) AS good, (SELECT count(*) FROM dead_letters('poison')) AS bad", &counts).await;
    until(&mut client, "SELECT state, tombstones, lag_messages FROM system.streams", "running\t3\t0").await;
    expected_rows.sort();
    expected_dead.sort();
    for again in [false, true] {
        let mut rows = client.rows("SELECT p, o FROM poison").await.unwrap();
        rows.sort();
        assert_eq!(rows, expected_rows);
        let dead = Letter::all(&mut client, "poison").await;
        assert_eq!(dead.len(), expected_dead.len());
        for (found, expected) in dead.iter().zip(&expected_dead) {
            assert_eq!(found.shown(), expected.shown());
            assert!(found == expected, "{} has other bytes at its end", found.shown());
        }
        let sql = format!("SELECT count(*) FROM dead_letters('poison') WHERE topic = '{topic}' AND error <> '' AND payload IS NOT NULL");
        assert_eq!(client.rows(&sql).await.unwrap(), [expected_dead.len().to_string()]);
        if again {
            break;
        }
        // What is committed is found again.
        let n_dead = expected_dead.len().to_string();
        until(&mut client, "SELECT hot_rows FROM system.streams", "0").await;
        assert_eq!(client.rows("SELECT dead_letters FROM system.streams").await.unwrap(), [n_dead]);
    }
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, "SELECT (SELECT count(*) FROM poison) AS good, (SELECT count(*) FROM dead_letters('poison')) AS bad", &counts).await;
    // A value says what is wrong with it.
    let sql = "SELECT DISTINCT error FROM dead_letters('poison') WHERE \"offset\" = 4 AND \"partition\" = 0";
    let errors = client.rows(sql).await.unwrap();
    assert!(errors.len() == 1 && errors[0].contains('a') && errors[0].contains("1.5"), "{errors:?}");
}
