//! Settings of a table that say how much is held, and how long: rows before a commit, rows in memory, files.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cell::Cell;

/// CREATE STREAMING TABLE of payloads as they are, with their offsets; `options` end the list.
fn create_raw(table: &str, kafka: &Kafka, topic: &str, options: &str) -> String {
    format!(
        "CREATE STREAMING TABLE {table} (payload STRING, k_offset BIGINT METADATA FROM 'offset') WITH ('connector' = 'kafka', \
         'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'raw', {options})",
        kafka.bootstrap()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_or_bytes_are_committed_before_their_time() {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    let mut committed = server.client().await;
    committed.rows("SET stream_read = 'committed'").await.unwrap();
    // What is set, and the payload that is one too many after nine short ones.
    let cases = [("by_rows", "'commit.rows_max' = '10'", 1), ("by_bytes", "'commit.bytes_max' = '512 KiB'", 600_000)];
    for (table, option, n_bytes) in cases {
        let topic = unique(table);
        kafka.create_topic(&topic, 1, &[]).await;
        client.rows(&create_raw(table, kafka, &topic, &format!("'commit.interval' = '1 h', {option}"))).await.unwrap();
        kafka.produce(&topic, Some(0), ["x"; 9]).await;
        let hot = format!("SELECT hot_rows FROM system.streams WHERE table_name = '{table}'");
        until(&mut client, &hot, "9").await;
        let durable = format!("SELECT committed FROM system.stream_partitions WHERE table_name = '{table}'");
        assert_eq!(client.rows(&durable).await.unwrap(), ["0"], "{table}: neither is it time nor are they many");
        assert_eq!(committed.rows(&format!("SELECT count(*) FROM {table}")).await.unwrap(), ["0"], "{table}");
        kafka.produce(&topic, Some(0), ["x".repeat(n_bytes)]).await;
        until(&mut client, &durable, "10").await;
        until(&mut client, &hot, "0").await;
        assert_eq!(committed.rows(&format!("SELECT count(*) FROM {table}")).await.unwrap(), ["10"], "{table}");
    }
}

/// The least that may be set.
const HOT_BYTES_MAX: u64 = 1 << 20;
/// So much fills the memory of the table twice, and does not a third time.
const RECORDS: u64 = 80_000;

/// The most bytes of rows that were in memory until the only stream has read so many records.
async fn most_in_memory(client: &mut Client, n_records: u64) -> u64 {
    let fullest = Cell::new(0);
    let sql = "SELECT rows_total, hot_bytes FROM system.streams";
    until_it(client, sql, &format!("{n_records} rows"), |row| {
        let (n_rows, n_bytes) = row.split_once('\t').expect("two numbers");
        fullest.set(fullest.get().max(n_bytes.parse::<u64>().unwrap_or_default()));
        n_rows == n_records.to_string()
    })
    .await;
    fullest.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_commits_are_slow_the_source_waits_for_them_and_nothing_is_lost() {
    let kafka = Kafka::shared().await;
    let topic = unique("tight");
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), (0..RECORDS).map(|n| format!("{{\"n\":{n}}}"))).await;
    // A commit of rows takes longer than the source needs for all that is left.
    let server = Server::start().restart_in(&[("FAILPOINTS", "data.closed=sleep(1500)")]);
    let mut client = server.client().await;
    let create = format!(
        "CREATE STREAMING TABLE tight (n BIGINT) WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', \
         'commit.interval' = '1 h', 'hot.bytes_max' = '{HOT_BYTES_MAX}')",
        kafka.bootstrap()
    );
    client.rows(&create).await.unwrap();
    let fullest = most_in_memory(&mut client, RECORDS).await;
    assert!(fullest <= HOT_BYTES_MAX, "{fullest} bytes of rows were in memory at once");
    assert!(fullest >= HOT_BYTES_MAX / 5 * 4, "the memory never was full: at most {fullest} bytes");
    // It is not time for a commit: those that happened made room.
    let whole = "SELECT count(*), count(DISTINCT n), sum(n) FROM tight";
    let expected = format!("{RECORDS}\t{RECORDS}\t{}", RECORDS * (RECORDS - 1) / 2);
    assert_eq!(client.rows(whole).await.unwrap(), [expected.as_str()]);
    assert_eq!(client.rows("SELECT restarts, last_error FROM system.streams").await.unwrap(), ["0\tNULL"]);

    // What was not committed comes again.
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, whole, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fills_the_memory_of_the_server_waits_and_nothing_is_lost() {
    const RECORDS: u64 = 120_000;
    const MEMORY: u64 = 64 << 20;
    let kafka = Kafka::shared().await;
    let topic = unique("large");
    kafka.create_topic(&topic, 1, &[]).await;
    let text = "x".repeat(1_000);
    kafka.produce(&topic, Some(0), (0..RECORDS).map(|n| format!("{{\"n\":{n},\"t\":\"{text}\"}}"))).await;
    let server = Server::start_with(&["--dev", "--set", "limits.memory=64MiB"]);
    let mut client = server.client().await;
    // The table may hold more than there is, and no commit is due: only the memory that is missing brings one about.
    let create = format!(
        "CREATE STREAMING TABLE large (n BIGINT, t STRING) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
         'properties.bootstrap.servers' = '{}', 'commit.interval' = '1 h', 'commit.bytes_max' = '1 GiB', 'hot.bytes_max' = '2 GiB')",
        kafka.bootstrap()
    );
    client.rows(&create).await.unwrap();
    let fullest = most_in_memory(&mut client, RECORDS).await;
    assert!(fullest < MEMORY && fullest > MEMORY / 4, "at most {fullest} bytes of rows were in memory at once");
    let whole = "SELECT count(*), count(DISTINCT n), sum(n), min(length(t)) FROM large";
    let expected = format!("{RECORDS}\t{RECORDS}\t{}\t1000", RECORDS * (RECORDS - 1) / 2);
    assert_eq!(client.rows(whole).await.unwrap(), [expected.as_str()]);
    assert_eq!(client.rows("SELECT restarts, last_error FROM system.streams").await.unwrap(), ["0\tNULL"]);
}

/// A text that hardly any compression makes shorter than half.
fn noise(seed: u64) -> String {
    let mut random = StdRng::seed_from_u64(seed);
    (0..2_500).map(|_| format!("{:08x}", random.random::<u32>())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_drops_the_oldest_files_and_no_others() {
    const N_OLD: u64 = 5;
    const N_NEW: u64 = 20;
    let kafka = Kafka::shared().await;
    let topic = unique("kept");
    kafka.create_topic(&topic, 1, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    // Old files are looked for after some commits: each record is one.
    let cases = [("forever", ""), ("by_time", ", 'retention.time' = '10 min'"), ("by_bytes", ", 'retention.bytes' = '64 KiB'")];
    for (table, option) in cases {
        client
            .rows(&create_raw(table, kafka, &topic, &format!("'commit.rows_max' = '1', 'commit.interval' = '1 h'{option}")))
            .await
            .unwrap();
    }
    let hour_ago_ms = chrono::Utc::now().timestamp_millis() - 3_600_000;
    let old = (0..N_OLD).map(|n| Record { timestamp_ms: Some(hour_ago_ms), ..Record::from(noise(n)) });
    kafka.produce(&topic, Some(0), old).await;
    for n in N_OLD..=N_OLD + N_NEW {
        // In a file of its own: one that has newer rows too is as young as these.
        let sql = format!("SELECT count(*) FROM system.stream_partitions WHERE committed = {n}");
        until(&mut client, &sql, &cases.len().to_string()).await;
        if n < N_OLD + N_NEW {
            kafka.produce(&topic, Some(0), [noise(n)]).await;
        }
    }
    let kept = |table: &str| format!("SELECT min(k_offset), max(k_offset), count(*) FROM {table}");
    let last = N_OLD + N_NEW - 1;
    until(&mut client, &kept("by_time"), &format!("{N_OLD}\t{last}\t{N_NEW}")).await;
    // All of them take three times as much at least.
    until_it(&mut client, &kept("by_bytes"), "the newest ones, without a gap", |row| {
        let numbers: Vec<u64> = row.split('\t').map(|number| number.parse().unwrap_or_default()).collect();
        numbers[0] > N_OLD && numbers[1] == last && numbers[2] == last - numbers[0] + 1
    })
    .await;
    assert_eq!(client.rows(&kept("forever")).await.unwrap(), [format!("0\t{last}\t{}", last + 1)]);
}
