//! The process ends at each step of a commit, on local disk and on S3: afterwards the table is the topic, for us and for
//! the readers of other projects.

use super::*;
use crate::harness::s3::S3;
use weir::telemetry::failpoint::FAIL_POINTS;

/// How long a server may take to meet the point that ends it.
const MEET_TIMEOUT: Duration = Duration::from_secs(90);
/// A start meets these when it fences older writers, before any epoch: a second time they let some entries pass.
const MET_AT_START: [&str; 2] = ["log.write", "log.linked"];
/// More than the fences of both tables.
const PASSED: u64 = 6;
const VISIBLE: &str = "STORED AS PARQUET";

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_step_of_a_commit_loses_and_repeats_nothing() {
    ends_anywhere(Server::start(), "points", &[("on_disk", ""), ("visible", VISIBLE)], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_ends_at_any_step_of_a_commit_to_s3_loses_and_repeats_nothing() {
    let s3 = S3::start();
    let server = Server::start_with_s3(&s3);
    let clause = format!("LOCATION 's3://{}/points'", s3.bucket());
    let visible = format!("{VISIBLE} LOCATION 's3://{}/visible'", s3.bucket());
    let keys = ["--access-key", s3.access_key(), "--secret-key", s3.secret_key()];
    let login = [&["--endpoint", s3.endpoint(), "--region", s3.region()][..], &keys].concat();
    ends_anywhere(server, "points-s3", &[("on_s3", &clause), ("visible_s3", &visible)], &login).await;
}

/// Ends servers at all points; `tables` are names with clauses, `login` is how others get at the place of the tables.
async fn ends_anywhere(mut server: Server, topic: &str, tables: &[(&str, &str)], login: &[&str]) {
    let kafka = Kafka::shared().await;
    let topic = unique(topic);
    kafka.create_topic(&topic, 2, &[]).await;
    let mut client = server.client().await;
    for (table, clause) in tables {
        client.rows(&create_events(table, clause, kafka.bootstrap(), &topic, ", 'commit.interval' = '100 ms'")).await.unwrap();
    }
    drop(client);
    let producing = Producing::start(kafka, &topic, 2, 400, u64::MAX);
    let first = FAIL_POINTS.iter().map(|(point, _)| (*point, "return".to_owned()));
    let later = MET_AT_START.map(|point| (point, format!("{PASSED}*off->return")));
    let (mut n_bad, mut not_met) = (0, Vec::new());
    for (point, action) in first.chain(later) {
        server = server.restart_in(&[("FAILPOINTS", &format!("{point}={action}"))]);
        // Bad records for the manifest, and every kind of work behind the commits.
        let deadline = Instant::now() + MEET_TIMEOUT;
        while !server.has_ended() && Instant::now() < deadline {
            kafka.produce(&topic, Some(0), ["no json"]).await;
            n_bad += 1;
            if let Ok(mut client) = Client::connect(server.address(), None).await {
                for (table, _) in tables {
                    let _ = client.rows(&format!("OPTIMIZE TABLE {table}")).await;
                    let _ = client.rows(&format!("VACUUM TABLE {table} RETAIN 0 HOURS")).await;
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        // It ended, and it ended there.
        if !server.has_ended() || !server.log().contains(&format!("fail point \"{point}\" reached")) {
            not_met.push(format!("{point}={action}"));
        }
    }
    let mut server = server.restart_in(&[]);
    producing.stop();
    let truth = Truth::read(kafka, &topic, &events::hash(), events::decode).await;
    let mut client = server.client().await;
    let mut places = Vec::new();
    for (table, _) in tables {
        until(&mut client, &format!("SELECT count(*) FROM {table}"), &truth.n_rows().to_string()).await;
        assert_equals_topic(&mut client, table, &truth).await;
        // All bad records are in one partition: each is there, and none twice.
        let sql = format!("SELECT count(*), count(DISTINCT \"offset\") FROM dead_letters('{table}')");
        until(&mut client, &sql, &format!("{n_bad}\t{n_bad}")).await;
        places.push(location(&mut client, table).await);
    }
    // On the disk a clean stop shows all rows to a listing; from a bucket a busy machine may not merge in its time.
    for (table, clause) in tables.iter().filter(|(_, clause)| clause.starts_with(VISIBLE) && !login.is_empty()) {
        client.rows(&format!("OPTIMIZE TABLE {table}")).await.unwrap_or_else(|error| panic!("{table} {clause}: {error}"));
    }
    drop(client);
    assert_eq!(not_met, Vec::<String>::new(), "points that no work reached, of {}", FAIL_POINTS.len());
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    for ((_, clause), place) in tables.iter().zip(&places) {
        let mut readers = vec!["deltalake", "duckdb"];
        // Now a plain listing is the table.
        readers.extend(clause.starts_with(VISIBLE).then_some("parquet"));
        assert_readers_agree_at(place, login, &truth, &readers);
    }
}
