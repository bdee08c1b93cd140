//! Where a stream begins and goes on: times that mean offsets, what a consumer group is told, the watermark in the commits.

use super::*;
use chrono::{DateTime, FixedOffset, Utc};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn a_time_means_the_first_record_that_is_not_older() {
    let kafka = Kafka::shared().await;
    let topic = unique("dated");
    kafka.create_topic(&topic, 2, &[]).await;
    // An hour ago, on a whole second: a topic keeps records a week, by these times.
    let begun_ms = (Utc::now().timestamp() - 3_600) * 1_000;
    let event = |n: u64| events::Event::json(n..n + 1).next().expect("one event");
    let record = |n: u64, second: i64| Record { timestamp_ms: Some(begun_ms + second * 1_000), ..Record::from(event(n)) };
    // One each second: ten of the first partition, five of the second.
    kafka.produce(&topic, Some(0), (0..10).map(|n| record(n, n as i64))).await;
    kafka.produce(&topic, Some(1), (0..5).map(|n| record(n + 10, n as i64))).await;

    let server = Server::start();
    let mut client = server.client().await;
    // Milliseconds since the first record, and the first offsets. A partition without a later record begins at its end.
    let cases = [
        ("whole", -1, [0, 0]),
        ("exact", 3_000, [3, 3]),
        ("later", 3_001, [4, 4]),
        ("partly", 7_000, [7, 5]),
        ("nothing", 60_000, [10, 5]),
    ];
    let options = ", 'commit.interval' = '200 ms'";
    client.rows(&create_events("sought", "", kafka.bootstrap(), &topic, options)).await.unwrap();
    for (table, after_ms, _) in cases {
        let startup = format!("{options}, 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '{}'", begun_ms + after_ms);
        client.rows(&create_events(table, "", kafka.bootstrap(), &topic, &startup)).await.unwrap();
    }
    // Where each of them begins is in its log.
    until(&mut client, "SELECT count(committed) FROM system.stream_partitions", &(2 * (cases.len() + 1)).to_string()).await;
    let whole = "SELECT count(*), count(DISTINCT event_id) FROM sought";
    until(&mut client, whole, "15\t15").await;
    // In the zone of the session.
    let zone = FixedOffset::east_opt(9 * 3_600).expect("a zone");
    let time = DateTime::from_timestamp_millis(begun_ms + 7_000).expect("a time").with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
    let seek = format!("ALTER STREAMING TABLE sought SEEK TO TIMESTAMP '{time}'");
    server.client().await.rows_with(&["SET timezone = 'Asia/Tokyo'"], &seek).await.unwrap();
    until(&mut client, whole, "18\t15").await;

    // Behind the end, though its time is an old one.
    kafka.produce(&topic, Some(1), [record(15, 0)]).await;
    until(&mut client, whole, "19\t16").await;
    for (table, _, first) in cases {
        let n_rows = (10 - first[0]) + (6 - first[1]);
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &n_rows.to_string()).await;
        let sql = format!("SELECT k_partition, min(k_offset), count(*) FROM {table} GROUP BY k_partition ORDER BY k_partition");
        let expected = [(0, 10), (1, 6)].into_iter().zip(first).filter(|((_, end), first)| first < end);
        let expected: Vec<String> = expected.map(|((partition, end), first)| format!("{partition}\t{first}\t{}", end - first)).collect();
        assert_eq!(client.rows(&sql).await.unwrap(), expected, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_group_is_told_what_is_committed_and_never_asked() {
    let kafka = Kafka::shared().await;
    let (topic, group) = (unique("told"), unique("lag-tools"));
    kafka.create_topic(&topic, 2, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(0..30)).await;
    kafka.produce(&topic, Some(1), events::Event::json(30..42)).await;
    // As if others had read in the group before.
    kafka.set_group_offset(&group, &topic, 0, 7).await;
    assert_eq!(kafka.group_offsets(&group, &topic).await, BTreeMap::from([(0, 7)]));
    let server = Server::start();
    let mut client = server.client().await;
    let options = ", 'commit.interval' = '200 ms'";
    let named = format!("{options}, 'properties.group.id' = '{group}'");
    for (table, options) in [("named", named.as_str()), ("unnamed", options)] {
        client.rows(&create_events(table, "", kafka.bootstrap(), &topic, options)).await.unwrap();
    }
    let whole = |table: &str| format!("SELECT count(*), count(DISTINCT event_id) FROM {table}");
    for table in ["named", "unnamed"] {
        until(&mut client, &whole(table), "42\t42").await;
    }
    let own = "SELECT 'weir.' || database_name || '.' || table_name FROM system.streams WHERE table_name = 'unnamed'";
    let groups = [group, client.rows(own).await.unwrap().remove(0)];
    // The second time after new records: progress goes on being told.
    for n_more in [0, 5] {
        kafka.produce(&topic, Some(1), events::Event::json(42..42 + n_more)).await;
        until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", &(2 * (42 + n_more)).to_string()).await;
        let expected = BTreeMap::from([(0, 30), (1, 12 + n_more as i64)]);
        for group in &groups {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let found = kafka.group_offsets(group, &topic).await;
                if found == expected {
                    break;
                }
                assert!(Instant::now() < deadline, "group {group} has {found:?}, not {expected:?}");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// The watermarks of the commits, oldest first, equal neighbours once.
fn watermarks(directory: &Path) -> Vec<i64> {
    let entries = std::fs::read_dir(directory.join("_delta_log")).expect("a log").map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> = entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        for line in std::fs::read_to_string(&entry).unwrap().lines() {
            let action: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", entry.display()));
            if action["txn"]["appId"].as_str().is_some_and(|id| id.ends_with(":watermark")) {
                found.push(action["txn"]["version"].as_i64().expect("a number"));
            }
        }
    }
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watermark_is_in_the_commits_and_a_start_does_not_take_it_back() {
    let kafka = Kafka::shared().await;
    let topic = unique("watermark");
    kafka.create_topic(&topic, 1, &[]).await;
    let mut server = Server::start();
    let create = format!(
        "CREATE STREAMING TABLE timed (event_time TIMESTAMP, WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND) \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'commit.interval' = '100 ms')",
        kafka.bootstrap()
    );
    let mut client = server.client().await;
    client.rows(&create).await.unwrap();
    let directory = location(&mut client, "timed").await;
    let begun = DateTime::parse_from_rfc3339("2026-11-01T10:00:00Z").expect("a time");
    // The second of each event, in a server of its own, and of the watermarks up to its commit.
    let steps = [(30, vec![20]), (5, vec![20]), (90, vec![20, 80])];
    for ((second, expected), n_events) in steps.iter().zip(1..) {
        let time = begun + Duration::from_secs(*second);
        kafka.produce(&topic, Some(0), [format!("{{\"event_time\":\"{}\"}}", time.format("%Y-%m-%dT%H:%M:%S"))]).await;
        until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", &n_events.to_string()).await;
        let expected: Vec<i64> = expected.iter().map(|second| (begun + Duration::from_secs(*second)).timestamp_micros()).collect();
        assert_eq!(watermarks(Path::new(&directory)), expected, "after the event of second {second}");
        if n_events == 1 {
            until(&mut client, "SELECT watermark FROM system.stream_partitions", "2026-11-01T10:00:20").await;
        }
        server = server.restart();
        client = server.client().await;
    }
    assert_eq!(client.rows("SELECT count(*) FROM timed").await.unwrap(), ["3"]);
}
