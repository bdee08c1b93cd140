//! Tables in a bucket of a real S3-compatible server: written, killed, reopened, dropped, read by others.

use crate::harness::{S3, Server};
use std::path::Path;

/// The arguments of a server that may use a bucket below the key `w`; the keys lie in files of `directory`.
fn arguments(s3: &S3, directory: &Path, access_key: &str, writable: bool) -> Vec<String> {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, format!("{text}\n")).expect("a key file");
        path.display().to_string()
    };
    let (access, secret) = (file("access", access_key), file("secret", s3.secret_key()));
    let entry = format!(
        "{{bucket = '{}', prefix = 'w', endpoint = '{}', region = '{}', writable = {writable}, access_key_file = '{access}', secret_key_file = '{secret}'}}",
        s3.bucket(),
        s3.endpoint(),
        s3.region(),
    );
    ["--dev", "--set", &format!("storage.s3=[{entry}]")].map(str::to_owned).into()
}

fn start(arguments: &[String]) -> Server {
    Server::start_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn refused(server: &Server, sql: &str) -> String {
    match server.client().await.rows(sql).await {
        Ok(rows) => panic!("{sql} answered {rows:?}"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_in_a_bucket_survive_kill_and_are_dropped() {
    let (s3, keys) = (S3::start(), tempfile::tempdir().unwrap());
    let server = start(&arguments(&s3, keys.path(), s3.access_key(), true));
    let bucket = format!("s3://{}", s3.bucket());
    server.sql(&format!("CREATE TABLE events (id BIGINT, p STRING) PARTITIONED BY (p) LOCATION '{bucket}/w/events'")).await;
    server.sql("INSERT INTO events SELECT value, 'p' || value % 3 FROM generate_series(1, 100000)").await;
    server.sql(&format!("CREATE DATABASE sales LOCATION '{bucket}/w/sales'")).await;
    server.sql("CREATE TABLE sales.orders AS SELECT 7 AS n").await;
    // Killed: the log in the bucket is the table.
    let server = server.restart();
    assert_eq!(server.sql("SELECT count(*), sum(id) FROM events WHERE p = 'p1'").await, ["33334\t1666716667"]);
    assert_eq!(server.sql("SELECT n FROM sales.orders").await, ["7"]);
    server.sql("INSERT OVERWRITE events PARTITION (p) SELECT 1, 'p1'").await;
    assert_eq!(server.sql("SELECT count(*) FROM events").await, ["66667"]);

    // The same table as another program's.
    server.sql(&format!("CREATE EXTERNAL TABLE seen STORED AS DELTA LOCATION '{bucket}/w/events'")).await;
    server.sql("INSERT INTO events VALUES (5, 'new')").await;
    assert_eq!(server.sql("SELECT id FROM seen WHERE p = 'new'").await, ["5"]);
    let refusal = refused(&server, "INSERT INTO seen VALUES (6, 'x')").await;
    assert!(refusal.contains("can only be read"), "{refusal}");

    // Files stay where a LOCATION was given.
    server.sql("DROP TABLE events").await;
    assert_eq!(server.sql("SELECT count(*) FROM seen").await, ["66668"]);
    for (sql, part) in [
        (format!("CREATE TABLE t (a INT) LOCATION '{bucket}/w/events'"), "is not an empty directory"),
        (format!("CREATE TABLE t (a INT) LOCATION '{bucket}/elsewhere'"), "outside the allowed buckets"),
        (format!("CREATE TABLE t (a INT) LOCATION '{bucket}/w/../t'"), "\"..\""),
        ("CREATE TABLE t (a INT) LOCATION 's3://another-bucket/w/t'".to_owned(), "outside the allowed buckets"),
        (format!("CREATE EXTERNAL TABLE t STORED AS DELTA LOCATION '{bucket}/w/nothing'"), "there is no Delta table"),
        (format!("COPY (SELECT 1) TO '{bucket}/w/x.csv'"), "are not supported"),
    ] {
        let refusal = refused(&server, &sql).await;
        assert!(refusal.contains(part), "{sql}: {refusal}");
    }
    let log = server.log();
    assert!(!log.contains(s3.secret_key()), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_keys_and_a_server_that_is_away_are_said_without_secrets() {
    let (s3, keys) = (S3::start(), tempfile::tempdir().unwrap());
    let location = format!("'s3://{}/w/t'", s3.bucket());
    let server = start(&arguments(&s3, keys.path(), "another-key", true));
    let refusal = refused(&server, &format!("CREATE TABLE t (a INT) LOCATION {location}")).await;
    assert!(refusal.contains("InvalidAccessKeyId") && !refusal.contains(s3.secret_key()), "{refusal}");
    drop(server);

    let server = start(&arguments(&s3, keys.path(), s3.access_key(), false));
    let refusal = refused(&server, &format!("CREATE TABLE t (a INT) LOCATION {location}")).await;
    assert!(refusal.contains("in a read-only bucket"), "{refusal}");
    drop(server);

    let server = start(&arguments(&s3, keys.path(), s3.access_key(), true));
    server.sql(&format!("CREATE TABLE t LOCATION {location} AS SELECT 1 AS a")).await;
    drop(s3);
    let refusal = refused(&server, "SELECT * FROM t").await;
    assert!(!refusal.contains("weir-secret-key"), "{refusal}");
    assert_eq!(server.sql("SELECT 1").await, ["1"], "the server itself is fine");
    assert!(!server.log().contains("weir-secret-key"));
}
