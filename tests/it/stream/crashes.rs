//! kill -9 every few seconds while a producer goes on: afterwards the table is the topic.
//!
//! `WEIR_TEST_KILLS` and `WEIR_TEST_SEED` change the number of kills and their times.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const KILLS: u64 = 20;
/// There are so many at least.
const EVENTS: u64 = 1_000_000;
const PARTITIONS: u64 = 4;
/// What the time between two kills and a start take together, about: the producer is at its last events when the kills end.
const ROUND_SECONDS: u64 = 10;
/// What the log has, as the stream's job says.
const COMMITTED: &str = "SELECT CAST(coalesce(sum(committed), 0) AS BIGINT) FROM system.stream_partitions WHERE table_name = 'as_delta'";

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_there_once_whatever_is_killed() {
    let (n_kills, seed) = (option("WEIR_TEST_KILLS", KILLS), option("WEIR_TEST_SEED", 11));
    println!("{n_kills} kills, WEIR_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let kafka = Kafka::shared().await;
    let topic = unique("kills");
    kafka.create_topic(&topic, PARTITIONS as i32, &[]).await;
    let mut server = Server::start();
    let mut client = server.client().await;
    let options = ", 'commit.interval' = '500 ms'";
    client.rows(&create_events("as_delta", "", kafka.bootstrap(), &topic, options)).await.unwrap();
    client.rows(&create_events("as_parquet", "STORED AS PARQUET", kafka.bootstrap(), &topic, options)).await.unwrap();
    // It goes on until the last server runs: each kill hits a stream that reads.
    let rate = (EVENTS / (n_kills * ROUND_SECONDS).max(1)).clamp(1_000, 10_000);
    let producing = Producing::start(kafka, &topic, PARTITIONS, rate, u64::MAX);
    let (mut committed, mut n_grown) = (0, 0);
    for kill in 0..n_kills {
        tokio::time::sleep(Duration::from_millis(random.random_range(3_000..10_000))).await;
        let before: u64 = server.sql("SELECT count(*) FROM as_delta").await[0].parse().unwrap();
        let durable: u64 = server.sql(COMMITTED).await[0].parse().unwrap();
        n_grown += u64::from(durable > committed);
        committed = durable.max(committed);
        server.kill();
        server = server.restart();
        let mut client = server.client().await;
        // It goes on: what was visible comes again, and no commit is taken back.
        for (sql, wanted) in [("SELECT count(*) FROM as_delta", before), (COMMITTED, committed)] {
            until_it(&mut client, sql, &format!("{wanted} or more"), |row| row.parse::<u64>().is_ok_and(|n| n >= wanted)).await;
        }
        assert!(!server.log().contains("ERROR"), "kill {kill}: the start complains:\n{}", server.log());
    }
    // Else a table that begins anew after each kill would pass.
    assert!(2 * n_grown >= n_kills, "only {n_grown} of {n_kills} servers committed something");
    let deadline = Instant::now() + PATIENCE + Duration::from_secs(EVENTS / rate);
    while producing.n_sent() < EVENTS {
        assert!(Instant::now() < deadline, "only {} events were produced", producing.n_sent());
        tokio::time::sleep(LOOK).await;
    }
    producing.stop();
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    let n_events = truth.n_rows() as u64;
    assert!(n_events >= EVENTS, "{n_events} events");
    let mut client = server.client().await;
    for table in ["as_delta", "as_parquet"] {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &n_events.to_string()).await;
        assert_equals_topic(&mut client, table, &truth).await;
    }
    let sql = "SELECT min(c) FROM (SELECT sum(committed) AS c FROM system.stream_partitions GROUP BY table_name)";
    until(&mut client, sql, &n_events.to_string()).await;
    client.rows("OPTIMIZE TABLE as_parquet").await.unwrap();
    let (delta, parquet) = (location(&mut client, "as_delta").await, location(&mut client, "as_parquet").await);
    drop(client);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    assert_readers_agree(Path::new(&delta), &truth, &["deltalake", "duckdb"]);
    // After OPTIMIZE a plain listing is the table.
    assert_readers_agree(Path::new(&parquet), &truth, &["deltalake", "duckdb", "parquet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_table_takes_it_over_and_nothing_is_lost_or_twice() {
    let kafka = Kafka::shared().await;
    let topic = unique("fenced");
    kafka.create_topic(&topic, 2, &[]).await;
    let mut first = Server::start();
    let mut client = first.client().await;
    // At a place that both servers may reach.
    let shared = create_events("fenced", "LOCATION '/data/fenced'", kafka.bootstrap(), &topic, ", 'commit.interval' = '200 ms'");
    client.rows(&shared).await.unwrap();
    let producing = Producing::start(kafka, &topic, 2, 5_000, 40_000);
    until_it(&mut client, "SELECT sum(committed) FROM system.stream_partitions", "some", |row| row.parse::<u64>().is_ok_and(|n| n > 0))
        .await;
    // By mistake: a copy of the catalog, the same directory of the table.
    let second = first.twin();
    let mut other = second.client().await;
    until(&mut client, "SELECT state FROM system.streams", "failed").await;
    let error = client.rows("SELECT last_error FROM system.streams").await.unwrap().remove(0);
    assert!(error.contains("taken over by another server"), "{error}");
    producing.join();
    until(&mut other, "SELECT count(*) FROM fenced", "40000").await;
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    assert_equals_topic(&mut other, "fenced", &truth).await;
    until(&mut other, "SELECT sum(committed) FROM system.stream_partitions", "40000").await;
    assert_readers_agree(&first.data().join("fenced"), &truth, &["deltalake", "duckdb"]);
    first.kill();
}
