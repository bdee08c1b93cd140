//! What happens to topics: transactions, compaction, more partitions, retention, another topic of the same name.

use super::*;
use crate::harness::kafka::Outcome;

/// New partitions, and other topics of the same name, are seen within a second.
const WATCHFUL: &str = ", 'commit.interval' = '200 ms', 'scan.topic-partition-discovery.interval' = '1 s'";

/// All streams of a server are read to the ends of their topics.
async fn until_at_end(client: &mut Client, n_streams: usize) {
    let sql = "SELECT count(*) FROM system.streams WHERE state = 'running' AND lag_messages = 0";
    until(client, sql, &n_streams.to_string()).await;
}

/// Waits until a stream needs somebody; returns what it says.
async fn until_failed(client: &mut Client, table: &str) -> String {
    until(client, &format!("SELECT state FROM system.streams WHERE table_name = '{table}'"), "failed").await;
    client.rows(&format!("SELECT last_error FROM system.streams WHERE table_name = '{table}'")).await.unwrap().remove(0)
}

/// The sum of the next offsets of a topic's partitions, as its broker says.
async fn ends(kafka: &Kafka, topic: &str) -> i64 {
    let mut sum = 0;
    for partition in kafka.partitions(topic).await {
        sum += kafka.watermarks(topic, partition).await.1;
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn of_transactions_only_what_was_committed_is_there_unless_all_is_wanted_and_nothing_lags() {
    let kafka = Kafka::shared().await;
    let topic = unique("transactions");
    kafka.create_topic(&topic, 2, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("done", "", kafka.bootstrap(), &topic, WATCHFUL)).await.unwrap();
    // The other one does not ask how a transaction ends.
    let uncommitted = format!("{WATCHFUL}, 'properties.isolation.level' = 'read_uncommitted'");
    client.rows(&create_events("sent", "", kafka.bootstrap(), &topic, &uncommitted)).await.unwrap();
    let all_sent = "SELECT count(*), count(DISTINCT event_id) FROM sent";
    let mut next = 0;
    let mut take = |n: u64| {
        next += n;
        events::Event::json(next - n..next)
    };
    for outcome in [Outcome::Commit, Outcome::Abort] {
        for partition in [0, 1] {
            kafka.produce_in_transaction(&topic, Some(partition), take(50), outcome).await;
            kafka.produce(&topic, Some(partition), take(10)).await;
        }
    }
    until(&mut client, "SELECT count(*) FROM done", "140").await;
    until(&mut client, all_sent, "240\t240").await;
    // One that is open holds back what lies behind it in its partition.
    let open = kafka.begin_transaction(&topic, Some(0), take(7)).await;
    kafka.produce(&topic, Some(0), take(5)).await;
    kafka.produce(&topic, Some(1), take(3)).await;
    until(&mut client, "SELECT count(*) FROM done WHERE k_partition = 1", "73").await;
    until(&mut client, all_sent, "255\t255").await;
    assert_eq!(client.rows("SELECT count(*) FROM done WHERE k_partition = 0").await.unwrap(), ["70"]);
    open.end(Outcome::Commit).await;
    until(&mut client, "SELECT count(*) FROM done", "155").await;
    // The last offsets of both partitions hold no record that is a row.
    for partition in [0, 1] {
        kafka.produce_in_transaction(&topic, Some(partition), take(20), Outcome::Abort).await;
    }
    let twice = (2 * ends(kafka, &topic).await).to_string();
    until(&mut client, "SELECT sum(position) FROM system.stream_partitions", &twice).await;
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", &twice).await;
    until_at_end(&mut client, 2).await;
    assert_eq!(client.rows(all_sent).await.unwrap(), ["295\t295"]);
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    assert_equals_topic(&mut client, "done", &truth).await;

    let server = server.restart();
    let mut client = server.client().await;
    until_at_end(&mut client, 2).await;
    assert_equals_topic(&mut client, "done", &truth).await;
    assert_eq!(client.rows(all_sent).await.unwrap(), ["295\t295"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_is_read_as_it_is_and_rows_that_were_read_stay() {
    const KEYS: u64 = 40;
    let kafka = Kafka::shared().await;
    let topic = unique("compacted");
    // Files of the topic end by the timestamps of the records, so that the test decides what may be compacted.
    let settings = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01"), ("segment.ms", "10000")];
    kafka.create_topic(&topic, 1, &settings).await;
    let begun_ms = chrono::Utc::now().timestamp_millis() - 3_600_000;
    let record = |(n, event): (u64, String)| Record { timestamp_ms: Some(begun_ms), ..Record::from(event).key((n % KEYS).to_string()) };
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("early", "", kafka.bootstrap(), &topic, WATCHFUL)).await.unwrap();
    kafka.produce(&topic, Some(0), (0..500).zip(events::Event::json(0..500)).map(record)).await;
    until(&mut client, "SELECT count(*) FROM early", "500").await;
    client.rows("ALTER STREAMING TABLE early PAUSE").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "paused").await;
    kafka.produce(&topic, Some(0), (500..1000).zip(events::Event::json(500..1000)).map(record)).await;

    // Tombstones of another key begin a file each; what is before them is compacted, in the end to the last of each key.
    let deadline = Instant::now() + PATIENCE;
    let mut begins_ms = begun_ms;
    let truth = loop {
        begins_ms += 20_000;
        let tombstone = Record { timestamp_ms: Some(begins_ms), ..Record::default() };
        kafka.produce(&topic, Some(0), [tombstone.key("other")]).await;
        let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
        if truth.n_rows() as u64 == KEYS {
            break truth;
        }
        assert!(Instant::now() < deadline, "the topic still has {} records\n{}", truth.n_rows(), kafka.log());
        tokio::time::sleep(LOOK * 4).await;
    };
    client.rows(&create_events("late", "", kafka.bootstrap(), &topic, WATCHFUL)).await.unwrap();
    // The next offset of the other one is gone: that is no loss, the topic begins where it began.
    client.rows("ALTER STREAMING TABLE early RESUME").await.unwrap();
    until(&mut client, "SELECT count(*), max(event_id) FROM late", "40\t999").await;
    until(&mut client, "SELECT count(*), count(DISTINCT event_id), max(event_id) FROM early", "540\t540\t999").await;
    let twice = 2 * ends(kafka, &topic).await;
    until(&mut client, "SELECT sum(position) FROM system.stream_partitions", &twice.to_string()).await;
    until_at_end(&mut client, 2).await;
    assert_equals_topic(&mut client, "late", &truth).await;
    assert!(client.rows("SELECT * FROM system.stream_gaps").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_first_record() {
    let kafka = Kafka::shared().await;
    let topic = unique("wider");
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(0..10)).await;
    let server = Server::start();
    let mut client = server.client().await;
    let options = format!("{WATCHFUL}, 'scan.startup.mode' = 'latest-offset'");
    client.rows(&create_events("wider", "", kafka.bootstrap(), &topic, &options)).await.unwrap();
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", "10").await;
    kafka.produce(&topic, Some(0), events::Event::json(10..15)).await;
    kafka.add_partitions(&topic, 3).await;
    // Before the table knows of them: the startup mode is about the partitions that were there.
    kafka.produce(&topic, Some(1), events::Event::json(15..35)).await;
    kafka.produce(&topic, Some(2), events::Event::json(35..55)).await;
    let sql = "SELECT count(*), count(DISTINCT event_id), min(event_id), count(DISTINCT k_partition) FROM wider";
    until(&mut client, sql, "45\t45\t10\t3").await;
    until_at_end(&mut client, 1).await;
    assert_eq!(client.rows("SELECT count(*) FROM system.stream_partitions").await.unwrap(), ["3"]);

    let server = server.restart();
    let mut client = server.client().await;
    kafka.produce(&topic, Some(2), events::Event::json(55..60)).await;
    until(&mut client, sql, "50\t50\t10\t3").await;
    until_at_end(&mut client, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_retention_took_stop_a_stream_or_are_passed_over_as_its_options_say() {
    let kafka = Kafka::shared().await;
    let topic = unique("overtaken");
    kafka.create_topic(&topic, 2, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    for (table, option) in [("strict", ""), ("lenient", ", 'on_data_loss' = 'skip'")] {
        client.rows(&create_events(table, "", kafka.bootstrap(), &topic, &format!("{WATCHFUL}{option}"))).await.unwrap();
    }
    kafka.produce(&topic, Some(0), events::Event::json(0..100)).await;
    kafka.produce(&topic, Some(1), events::Event::json(100..150)).await;
    for table in ["strict", "lenient"] {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), "150").await;
        client.rows(&format!("ALTER STREAMING TABLE {table} PAUSE")).await.unwrap();
    }
    until(&mut client, "SELECT count(*) FROM system.streams WHERE state = 'paused'", "2").await;
    kafka.produce(&topic, Some(0), events::Event::json(150..350)).await;
    kafka.produce(&topic, Some(1), events::Event::json(350..360)).await;
    kafka.delete_records(&topic, 0, 250).await;
    for table in ["strict", "lenient"] {
        client.rows(&format!("ALTER STREAMING TABLE {table} RESUME")).await.unwrap();
    }

    let error = until_failed(&mut client, "strict").await;
    for part in [topic.as_str(), "Partition 0", "offsets 100 to 249", "SEEK TO OFFSETS ('0:250')"] {
        assert!(error.contains(part), "{part:?} is not said: {error}");
    }
    // Nothing of it, not even what could be read: somebody decides first.
    assert_eq!(client.rows("SELECT count(*) FROM strict").await.unwrap(), ["150"]);

    let whole = "SELECT count(*), count(DISTINCT event_id), min(event_id), max(event_id) FROM";
    until(&mut client, &format!("{whole} lenient"), "210\t210\t0\t359").await;
    let gaps = client.rows("SELECT table_name, topic, \"partition\", from_offset, to_offset FROM system.stream_gaps").await.unwrap();
    assert_eq!(gaps, [format!("lenient\t{topic}\t0\t100\t250")]);

    client.rows("ALTER STREAMING TABLE strict SEEK TO OFFSETS ('0:250')").await.unwrap();
    until(&mut client, &format!("{whole} strict"), "210\t210\t0\t359").await;
    until_at_end(&mut client, 2).await;
    // What was passed over stays so.
    let server = server.restart();
    let mut client = server.client().await;
    until_at_end(&mut client, 2).await;
    for table in ["strict", "lenient"] {
        assert_eq!(client.rows(&format!("{whole} {table}")).await.unwrap(), ["210\t210\t0\t359"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_topic_of_the_same_name_stops_a_stream_until_somebody_seeks() {
    let kafka = Kafka::shared().await;
    let topic = unique("anew");
    kafka.create_topic(&topic, 1, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    // Nothing is committed before the topic goes: rows that queries have seen must not go with it.
    let options = ", 'commit.interval' = '1 h', 'scan.topic-partition-discovery.interval' = '1 s'";
    client.rows(&create_events("anew", "", kafka.bootstrap(), &topic, options)).await.unwrap();
    kafka.produce(&topic, Some(0), events::Event::json(0..100)).await;
    let whole = "SELECT count(*), count(DISTINCT event_id) FROM anew";
    until(&mut client, whole, "100\t100").await;

    // While it is read. Deleted is not the end: it may be a mistake that somebody mends.
    kafka.delete_topic(&topic).await;
    let sql = "SELECT state || ' ' || last_error FROM system.streams";
    until(&mut client, sql, &format!("retrying topic \"{topic}\" does not exist")).await;
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(1_000..1_030)).await;
    let error = until_failed(&mut client, "anew").await;
    assert!(error.contains(&topic) && error.contains("deleted") && error.contains("SEEK TO EARLIEST"), "{error}");
    assert_eq!(client.rows(whole).await.unwrap(), ["100\t100"]);
    assert_eq!(client.rows("SELECT sum(committed) FROM system.stream_partitions").await.unwrap(), ["100"]);
    client.rows("ALTER STREAMING TABLE anew SEEK TO EARLIEST").await.unwrap();
    until(&mut client, whole, "130\t130").await;
    until_at_end(&mut client, 1).await;

    // While nobody looks, and the new one is longer than the old one was.
    client.rows("ALTER STREAMING TABLE anew PAUSE").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "paused").await;
    kafka.delete_topic(&topic).await;
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(2_000..2_300)).await;
    client.rows("ALTER STREAMING TABLE anew RESUME").await.unwrap();
    let error = until_failed(&mut client, "anew").await;
    assert!(error.contains(&topic) && error.contains("deleted") && error.contains("SEEK TO EARLIEST"), "{error}");
    assert_eq!(client.rows(whole).await.unwrap(), ["130\t130"]);
    client.rows("ALTER STREAMING TABLE anew SEEK TO EARLIEST").await.unwrap();
    until(&mut client, whole, "430\t430").await;
    until_at_end(&mut client, 1).await;

    // And again: the end is that of the new topic, and offsets of the one before say nothing about it.
    client.rows("ALTER STREAMING TABLE anew PAUSE").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "paused").await;
    kafka.delete_topic(&topic).await;
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(3_000..3_010)).await;
    client.rows("ALTER STREAMING TABLE anew SEEK TO LATEST").await.unwrap();
    kafka.produce(&topic, Some(0), events::Event::json(3_010..3_600)).await;
    client.rows("ALTER STREAMING TABLE anew RESUME").await.unwrap();
    until(&mut client, whole, "1020\t1020").await;
    until_at_end(&mut client, 1).await;
}
