//! Where a source begins and what it delivers.

use super::*;
use crate::connect::{FailureKind, Start};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

#[tokio::test]
async fn everything_comes_once_bad_records_and_tombstones_too() {
    let bench = Bench::new(2);
    bench.send(0, &[Some("{\"id\":1}"), Some("{\"id\":"), None, Some("{\"id\":2}"), Some("{\"id\":1.5}")]);
    bench.send(1, &[Some("{\"id\":3}"), Some("{\"id\":3}{\"id\":4}"), Some("null"), Some("{\"id\":5}")]);
    let mut reading = bench.start(&[], &[], true);
    reading.until("both ends", |reading| reading.positions == BTreeMap::from([(0, 5), (1, 4)])).await;
    assert_eq!(reading.assigned, [BTreeMap::from([(0, 0), (1, 0)])]);
    assert_eq!(reading.ids(), [1, 2, 3, 5]);
    let letters = reading.fetched.iter().flat_map(|fetched| &fetched.dead_letters);
    let mut letters = letters.map(|letter| (letter.partition, letter.offset, letter.payload.clone())).collect::<Vec<_>>();
    letters.sort();
    let expected = [(0, 1, "{\"id\":"), (0, 4, "{\"id\":1.5}"), (1, 1, "{\"id\":3}{\"id\":4}"), (1, 2, "null")];
    assert_eq!(letters, expected.map(|(partition, offset, text)| (partition, offset, text.as_bytes().to_vec())));
    assert_eq!(reading.fetched.iter().map(|fetched| fetched.n_tombstones).sum::<u64>(), 1);
    assert!(reading.fetched.iter().any(|fetched| fetched.timestamp_max_ms.is_some()));
    reading
        .until_status("the ends in the status", |status| {
            status.connected && status.partitions.len() == 2 && status.partitions.values().all(|partition| partition.at_end)
        })
        .await;
    let partitions = reading.status.lock().partitions.clone();
    assert_eq!((partitions[&0].position, partitions[&0].high_watermark, partitions[&1].position), (5, Some(5), 4));

    bench.send_ids(1, 10..12);
    reading.until_rows(6).await;
    assert_eq!(reading.positions[&1], 6);
    assert_eq!(reading.handle.high_watermarks(WAIT_MAX).unwrap(), BTreeMap::from([(0, 5), (1, 6)]));
    assert_eq!(reading.handle.resolve(Start::Earliest, WAIT_MAX).unwrap(), BTreeMap::from([(0, 0), (1, 0)]));
    reading.handle.stop();
    assert_eq!(reading.status.lock().restarts, 0);
}

#[tokio::test]
async fn the_first_start_begins_where_the_options_say() {
    let bench = Bench::new(2);
    bench.send_ids(0, 0..5);
    bench.send_ids(1, 100..103);
    let mut reading = bench.start(&[("scan.startup.mode", "latest-offset")], &[], true);
    reading.until("the assignment", |reading| !reading.assigned.is_empty()).await;
    assert_eq!(reading.assigned, [BTreeMap::from([(0, 5), (1, 3)])]);
    bench.send_ids(0, 5..7);
    reading.until_rows(2).await;
    assert_eq!(reading.ids(), [5, 6]);
    reading.handle.stop();

    let offsets = [("scan.startup.specific-offsets", "partition:0,offset:6")];
    let mut reading = bench.start(&offsets, &[], true);
    reading.until_rows(4).await;
    assert_eq!(reading.assigned, [BTreeMap::from([(0, 6), (1, 0)])]);
    assert_eq!(reading.ids(), [6, 100, 101, 102]);
    reading.handle.stop();

    for (offsets, what) in [("partition:0,offset:99", "no offset 99 in partition 0"), ("partition:7,offset:1", "no partition 7")] {
        let mut reading = bench.start(&[("scan.startup.specific-offsets", offsets)], &[], true);
        reading.until("the failure", |reading| reading.failure.is_some()).await;
        let failure = reading.failure.clone().unwrap();
        assert_eq!(failure.kind, FailureKind::Options);
        assert!(failure.error.message.contains(what), "{}", failure.error);
    }
}

#[tokio::test]
async fn committed_offsets_win_and_unknown_partitions_begin_at_the_start() {
    let bench = Bench::new(2);
    bench.send_ids(0, 0..5);
    bench.send_ids(1, 100..103);
    let mut reading = bench.start(&[("scan.startup.mode", "latest-offset")], &[(0, 3)], false);
    reading.until_rows(5).await;
    assert_eq!(reading.assigned, [BTreeMap::from([(0, 3), (1, 0)])]);
    assert_eq!(reading.ids(), [3, 4, 100, 101, 102]);
    reading.handle.stop();
}

#[tokio::test]
async fn a_full_queue_holds_the_source_back_and_stop_does_not_wait_for_it() {
    let bench = Bench::new(1);
    bench.send_ids(0, 0..9_000);
    let mut reading = Reading::start(bench.options(&[]), &[], true, 1);
    reading.until_rows(1).await;
    assert!(reading.rows.len() <= 4_096);
    let asked_at = std::time::Instant::now();
    reading.handle.stop();
    assert!(asked_at.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn rows_come_in_the_order_of_their_offsets() {
    let bench = Bench::new(1);
    bench.send_ids(0, 0..20_000);
    let mut reading = bench.start(&[], &[], true);
    reading.until_rows(20_000).await;
    assert!(reading.rows.iter().enumerate().all(|(idx, row)| *row == (0, idx as i64, Some(idx as i64))));
    assert!(reading.fetched.iter().all(|fetched| fetched.rows.num_rows() <= 4_096));
    reading.handle.stop();
}

#[tokio::test]
async fn progress_is_published_in_the_group() {
    let bench = Bench::new(1);
    bench.send_ids(0, 0..5);
    let mut reading = bench.start(&[("properties.group.id", "lag tools")], &[], true);
    reading.until_rows(5).await;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", bench.broker.bootstrap_servers()).set("group.id", "lag tools");
    let other: BaseConsumer = config.create().unwrap();
    let end = std::time::Instant::now() + WAIT_MAX;
    loop {
        reading.handle.publish(&BTreeMap::from([(0, 5)]));
        let mut list = TopicPartitionList::new();
        list.add_partition("events", 0);
        let found = other.committed_offsets(list, WAIT_MAX).unwrap();
        if found.find_partition("events", 0).unwrap().offset() == Offset::Offset(5) {
            break;
        }
        assert!(std::time::Instant::now() < end, "the group never got the offset");
    }
    reading.handle.stop();
}

#[test]
fn columns_are_inferred_from_the_newest_records() {
    let bench = Bench::new(2);
    let options = bench.options(&[]);
    let error = infer(&options, 100).unwrap_err();
    assert!(error.message.contains("has no records"), "{error}");
    bench.send(0, &[Some("{\"id\":1,\"price\":2,\"at\":\"2026-01-02T03:04:05Z\"}"), Some("broken"), None]);
    bench.send(1, &[Some("{\"id\":2,\"price\":2.5,\"tags\":[\"a\"],\"by\":{\"user\":\"u\",\"age\":7},\"ok\":true}")]);
    let mut found = infer(&options, 100).unwrap();
    found.sort();
    let expected = [
        ("at", "TIMESTAMP"),
        ("by", "STRUCT<user: STRING, age: BIGINT>"),
        ("id", "BIGINT"),
        ("ok", "BOOLEAN"),
        ("price", "DOUBLE"),
        ("tags", "ARRAY<STRING>"),
    ];
    assert_eq!(found, expected.map(|(name, sql_type)| (name.to_string(), sql_type.to_string())));
    let raw = infer(&bench.options(&[("format", "raw")]), 10).unwrap();
    assert_eq!(raw, [("value".to_string(), "STRING".to_string())]);
}
