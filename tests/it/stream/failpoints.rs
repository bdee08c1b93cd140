//! The process ends at each step of a commit, on local disk and on S3: afterwards the table is the topic.

use super::*;
use crate::harness::s3::S3;
use weir::telemetry::failpoint::FAIL_POINTS;

/// How long a server may take to meet the point that ends it.
const MEET_TIMEOUT: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_step_of_a_commit_loses_and_repeats_nothing() {
    ends_anywhere(Server::start(), "points", &[("on_disk", ""), ("visible", "STORED AS PARQUET")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_step_of_a_commit_to_s3_loses_and_repeats_nothing() {
    let s3 = S3::start();
    let server = Server::start_with_s3(&s3);
    let clause = format!("LOCATION 's3://{}/points'", s3.bucket());
    let visible = format!("STORED AS PARQUET LOCATION 's3://{}/visible'", s3.bucket());
    ends_anywhere(server, "points-s3", &[("on_s3", &clause), ("visible_s3", &visible)]).await;
}

async fn ends_anywhere(mut server: Server, topic: &str, tables: &[(&str, &str)]) {
    let kafka = Kafka::shared().await;
    let topic = unique(topic);
    kafka.create_topic(&topic, 2, &[]).await;
    let mut client = server.client().await;
    for (table, clause) in tables {
        client.rows(&create_events(table, clause, kafka.bootstrap(), &topic, ", 'commit.interval' = '100 ms'")).await.unwrap();
    }
    drop(client);
    let producing = Producing::start(kafka, &topic, 2, 400, u64::MAX);
    let mut not_met = Vec::new();
    for (point, _) in FAIL_POINTS {
        server.kill();
        server = server.restart_in(&[("FAILPOINTS", &format!("{point}=return"))]);
        // Bad records for the manifest, and every kind of work behind the commits.
        let deadline = Instant::now() + MEET_TIMEOUT;
        while !server.has_ended() && Instant::now() < deadline {
            kafka.produce(&topic, Some(0), ["no json"]).await;
            if let Ok(mut client) = Client::connect(server.address(), None).await {
                for (table, _) in tables {
                    let _ = client.rows(&format!("OPTIMIZE TABLE {table}")).await;
                    let _ = client.rows(&format!("VACUUM TABLE {table} RETAIN 0 HOURS")).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        let log = server.log();
        if !log.contains(&format!("fail point \"{point}\" reached")) {
            not_met.push(*point);
        }
    }
    server.kill();
    let server = server.restart_in(&[]);
    producing.stop();
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    let mut client = server.client().await;
    for (table, _) in tables {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &truth.n_rows().to_string()).await;
        assert_equals_topic(&mut client, table, &truth).await;
        let sql = format!("SELECT count(*) - count(DISTINCT \"offset\") FROM dead_letters('{table}')");
        assert_eq!(client.rows(&sql).await.unwrap(), ["0"], "no dead letter is there twice");
    }
    assert_eq!(not_met, Vec::<&str>::new(), "points that no work reached");
}
