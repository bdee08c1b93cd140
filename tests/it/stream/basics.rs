//! What every user does: create, look, steer, restart, drop.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn rows_appear_with_their_metadata_and_a_restart_goes_on() {
    let kafka = Kafka::shared().await;
    let topic = unique("basics");
    kafka.create_topic(&topic, 2, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    let sql = format!(
        "CREATE STREAMING TABLE live (event_id BIGINT, action STRING, event_time TIMESTAMP, t STRING METADATA FROM 'topic', p INT METADATA FROM \
         'partition', o BIGINT METADATA FROM 'offset', ts TIMESTAMP METADATA FROM 'timestamp', k STRING METADATA FROM 'key', \
         WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND) \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'format' = 'json', 'commit.interval' = '300 ms')",
        kafka.bootstrap()
    );
    client.rows(&sql).await.unwrap();
    kafka
        .produce(&topic, Some(1), [Record::from(r#"{"event_id":7,"action":"buy","event_time":"2026-11-01T10:00:00"}"#).key("seven")])
        .await;
    until(
        &mut client,
        "SELECT event_id, action, t = 'x', p, o, k, ts > TIMESTAMP '2026-01-01' FROM live",
        "7\tbuy\tfalse\t1\t0\tseven\ttrue",
    )
    .await;
    // The columns of the machine are not SELECT's.
    assert_eq!(client.rows("SELECT count(*) FROM information_schema.columns WHERE table_name = 'live'").await.unwrap(), ["8"]);
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", "1").await;

    let server = server.restart();
    let mut client = server.client().await;
    kafka.produce(&topic, Some(0), [r#"{"event_id":8}"#, r#"{"event_id":9}"#]).await;
    until(&mut client, "SELECT count(*), sum(event_id), count(action) FROM live", "3\t24\t1").await;
    until(&mut client, "SELECT state, lag_messages FROM system.streams", "running\t0").await;
    let shown = client.rows("SHOW STREAMS").await.unwrap();
    assert!(shown.len() == 1 && shown[0].contains("live") && shown[0].contains("running"), "{shown:?}");
    // A view over it, and the table twice in a statement: one moment.
    client.rows("CREATE VIEW twice AS SELECT event_id FROM live UNION ALL SELECT event_id FROM live").await.unwrap();
    assert_eq!(client.rows("SELECT count(*) - 2 * (SELECT count(*) FROM live) FROM twice").await.unwrap(), ["0"]);
    client.rows("DROP VIEW twice").await.unwrap();
    client.rows("DROP TABLE live").await.unwrap();
    assert!(client.rows("SELECT * FROM system.streams").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_and_seek_do_what_they_say() {
    let kafka = Kafka::shared().await;
    let topic = unique("steered");
    kafka.create_topic(&topic, 2, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("steered", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '300 ms'")).await.unwrap();
    kafka.produce(&topic, Some(0), events::Event::json(0..100)).await;
    until(&mut client, "SELECT count(*) FROM steered", "100").await;

    client.rows("ALTER STREAMING TABLE steered PAUSE").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "paused").await;
    kafka.produce(&topic, Some(1), events::Event::json(100..150)).await;
    assert_eq!(client.rows("SELECT count(*) FROM steered").await.unwrap(), ["100"]);

    client.rows("ALTER STREAMING TABLE steered RESUME").await.unwrap();
    until(&mut client, "SELECT count(*) FROM steered", "150").await;

    // Everything once more, then from an offset of one partition only.
    client.rows("ALTER STREAMING TABLE steered SEEK TO EARLIEST").await.unwrap();
    until(&mut client, "SELECT count(*), count(DISTINCT event_id) FROM steered", "300\t150").await;
    let error = client.rows("ALTER STREAMING TABLE steered SEEK TO OFFSETS ('1:40,7:0')").await.unwrap_err();
    assert!(error.contains("no partition 7") && error.contains("Its partitions are 0, 1."), "{error}");
    client.rows("ALTER STREAMING TABLE steered SEEK TO OFFSETS ('1:40')").await.unwrap();
    until(&mut client, "SELECT count(*), count(DISTINCT event_id) FROM steered", "310\t150").await;
    client.rows("ALTER STREAMING TABLE steered SEEK TO LATEST").await.unwrap();
    kafka.produce(&topic, Some(0), events::Event::json(150..151)).await;
    until(&mut client, "SELECT count(*), count(DISTINCT event_id) FROM steered", "311\t151").await;
    // It is carried out once, not at every start.
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, "SELECT state, lag_messages FROM system.streams", "running\t0").await;
    assert_eq!(client.rows("SELECT count(*) FROM steered").await.unwrap(), ["311"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_starts_a_failed_stream_again() {
    let kafka = Kafka::shared().await;
    let topic = unique("failed");
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(0..10)).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("failed", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '300 ms'")).await.unwrap();
    until(&mut client, "SELECT count(*) FROM failed", "10").await;
    // Behind the end of the topic: as if it were another one than before.
    client.rows("ALTER STREAMING TABLE failed SEEK TO OFFSETS ('0:15')").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "failed").await;
    let error = client.rows("SELECT last_error FROM system.streams").await.unwrap().remove(0);
    assert!(error.contains("is another one than before") && error.contains("SEEK TO EARLIEST"), "{error}");
    assert_eq!(client.rows("SELECT count(*) FROM failed").await.unwrap(), ["10"], "what is committed is still there");
    // The offset comes to be; nobody looks before somebody says so.
    kafka.produce(&topic, Some(0), events::Event::json(10..20)).await;
    assert_eq!(client.rows("SELECT state FROM system.streams").await.unwrap(), ["failed"]);
    client.rows("ALTER STREAMING TABLE failed RESUME").await.unwrap();
    until(&mut client, "SELECT count(*), max(event_id) FROM failed", "15\t19").await;
    until(&mut client, "SELECT state, last_error IS NULL FROM system.streams", "running\ttrue").await;
    // A stream that works is not disturbed.
    client.rows("ALTER STREAMING TABLE failed RESUME").await.unwrap();
    assert_eq!(client.rows("SELECT state FROM system.streams").await.unwrap(), ["running"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_offset_means_the_end_when_the_table_was_created() {
    let kafka = Kafka::shared().await;
    let topic = unique("latest");
    kafka.create_topic(&topic, 1, &[]).await;
    kafka.produce(&topic, Some(0), events::Event::json(0..10)).await;
    let server = Server::start();
    let mut client = server.client().await;
    client
        .rows(&create_events("late", "", kafka.bootstrap(), &topic, ", 'scan.startup.mode' = 'latest-offset', 'commit.interval' = '1 h'"))
        .await
        .unwrap();
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions", "10").await;
    let server = server.restart();
    kafka.produce(&topic, Some(0), events::Event::json(10..13)).await;
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, "SELECT count(*), min(event_id) FROM late", "3\t10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_reads_wait_for_what_the_topic_holds() {
    let kafka = Kafka::shared().await;
    let topic = unique("reads");
    kafka.create_topic(&topic, 3, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    client.rows(&create_events("reads", "", kafka.bootstrap(), &topic, ", 'commit.interval' = '1 h'")).await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "running").await;
    let mut session = client;
    for round in 1..=20_u64 {
        // Acknowledged by the broker, then asked for: no look in vain.
        kafka.produce(&topic, Some((round % 3) as i32), events::Event::json(round * 10 - 10..round * 10)).await;
        let found = session.rows_with(&["SET stream_read = 'latest'"], "SELECT count(*) FROM reads").await.unwrap();
        assert_eq!(found, [(round * 10).to_string()], "round {round}");
    }
    let committed = session.rows_with(&["SET stream_read = 'committed'"], "SELECT count(*) FROM reads").await.unwrap();
    assert_eq!(committed, ["0"], "nothing is committed before the hour is over");
}
