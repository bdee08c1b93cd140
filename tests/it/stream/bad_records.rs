//! A file of bad records: good rows all present, bad ones all among the dead letters, and the counts add up.

use super::*;

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
    // Three times over, on both partitions, so that good and bad ones share fetches and epochs.
    for _ in 0..3 {
        for partition in [0, 1] {
            let records = records();
            let placed = kafka.produce(&topic, Some(partition), records.iter().map(|(payload, _)| payload.clone())).await;
            for ((payload, is_row), placed) in records.iter().zip(placed) {
                match is_row {
                    true => expected_rows.push(format!("{}\t{}", placed.partition, placed.offset)),
                    false => expected_dead.push(format!("{}\t{}\t{}", placed.partition, placed.offset, payload.len() > 1 << 20)),
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
        let mut dead = client.rows("SELECT \"partition\", \"offset\", is_truncated FROM dead_letters('poison')").await.unwrap();
        dead.sort();
        assert_eq!(dead, expected_dead);
        let sql = "SELECT count(*) FROM dead_letters('poison') WHERE topic IS NULL OR error = '' OR payload IS NULL OR octet_length(payload) > 1048576";
        assert_eq!(client.rows(sql).await.unwrap(), ["0"]);
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
