//! The process: how it starts, what it refuses, how it ends; limits and rights as a client meets them.

use crate::harness::{Client, Server, test_data};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Runs for hours, and notices when it is cancelled.
const ENDLESS: &str =
    "SELECT count(*) AS endless FROM generate_series(1, 100000) AS a, generate_series(1, 100000000) AS b WHERE (a.value + b.value) % 7 = 3";
/// A start that is refused, a statement that is cancelled: seconds at most, also on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Runs weir to its end.
fn weir(directory: &Path, arguments: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).current_dir(directory).stdin(Stdio::null()).output();
    command.expect("the weir binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit code is 1, and stderr says all of this; it never panics.
#[track_caller]
fn check_refused(output: &Output, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in expected {
        assert!(text.contains(part), "\"{part}\" is missing in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

/// Waits until a condition holds for the rows of a query.
async fn wait_until(server: &Server, sql: &str, holds: impl Fn(&[String]) -> bool) -> Vec<String> {
    let started = Instant::now();
    loop {
        let rows = server.sql(sql).await;
        if holds(&rows) {
            return rows;
        }
        assert!(started.elapsed() < SOON, "{sql}\nstill answers {rows:?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The id of the running query of a user, other than this look itself.
async fn running_id(server: &Server) -> String {
    let sql = "SELECT query_id FROM system.queries WHERE state = 'running' AND sql LIKE '%AS endless%' AND sql NOT LIKE '%system%'";
    wait_until(server, sql, |rows| rows.len() == 1).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_a_server_with_an_idle_client_at_once() {
    let mut server = Server::start();
    let mut client = server.client().await;
    client.rows("SELECT 1").await.unwrap();
    let started = Instant::now();
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    assert!(started.elapsed() < SOON, "an idle connection held the end up for {:?}", started.elapsed());
    client.rows("SELECT 1").await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_cancels_what_runs_after_the_grace() {
    let mut server = Server::start_with(&["--dev", "--set", "server.shutdown_grace=1 s"]);
    let mut client = server.client().await;
    let (answer, ended) = tokio::join!(client.rows(ENDLESS), async {
        running_id(&server).await;
        let started = Instant::now();
        let code = tokio::task::block_in_place(|| server.terminate());
        (code, started.elapsed())
    });
    let error = answer.unwrap_err();
    assert_eq!(ended.0, Some(0), "{}", server.log());
    assert!(ended.1 >= Duration::from_millis(900), "the grace was not given: {:?}", ended.1);
    assert!(ended.1 < SOON, "it took {:?}", ended.1);
    assert!(error.contains("cancel") || error.contains("closed"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_server_and_a_port_has_one() {
    let server = Server::start();
    let data_dir = server.data_dir();
    let output = weir(server.directory(), &["serve", "--dev", "--listen", "127.0.0.1:0", "--data-dir", data_dir.to_str().unwrap()]);
    check_refused(&output, &["another server uses the data directory", &format!("process id {}", server.pid()), "hint:"]);
    let output = weir(server.directory(), &["serve", "--dev", "--listen", server.address(), "--data-dir", "other"]);
    check_refused(&output, &[&format!("could not listen on {}", server.address()), "in use", "hint:"]);
    assert_eq!(server.sql("SELECT 1").await, ["1"], "the first server goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_password_is_printed_once_and_works() {
    let server = Server::start_with(&[]);
    let greeting = server.greeting().to_owned();
    let password = greeting.split("password \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a password").to_owned();
    let mut client = Client::connect(server.address(), Some(("admin", &password))).await.unwrap();
    assert_eq!(client.rows("SELECT current_user").await.unwrap(), ["admin"]);
    for (user, password) in [("admin", "sesame"), ("admin", ""), ("nobody", password.as_str())] {
        let Err(error) = Client::connect(server.address(), Some((user, password))).await else { panic!("{user} came in") };
        assert!(!error.contains(password) || password.is_empty(), "{error}");
    }
    assert!(!server.log().contains(&password), "the password is in the log");
    let server = server.restart();
    assert!(!server.greeting().contains("password"), "{}", server.greeting());
    Client::connect(server.address(), Some(("admin", &password))).await.unwrap();
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("weir.toml");
    std::fs::write(&config, "[server]\nflight_lissten = \"127.0.0.1:0\"\n[limits]\nmemory = \"lots\"\nqueries_max = 0\n").unwrap();
    for command in [&["check-config"][..], &["serve", "--data-dir", "d"]] {
        let output = weir(directory.path(), command);
        check_refused(
            &output,
            &["3 mistakes", "flight_lissten", "flight_listen", "limits.memory", "lots", "limits.queries_max", "weir.toml"],
        );
        assert!(!directory.path().join("d").exists(), "a refused start leaves nothing");
    }
    let output = weir(directory.path(), &["check-config", "--config", "nowhere.toml"]);
    check_refused(&output, &["nowhere.toml"]);
    std::fs::write(&config, "[limits]\nqueries_max = 7\n").unwrap();
    let output = weir(directory.path(), &["check-config", "--set", "limits.sql_bytes_max=2 MiB"]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.lines().any(|line| line.starts_with("limits.queries_max") && line.contains("weir.toml line 2")), "{text}");
    assert!(text.contains("the configuration is good"), "{text}");
}

#[test]
fn the_configuration_of_the_readme_is_good() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, behind) = readme.split_once("```toml\n").expect("the README has a configuration");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("weir.toml"), behind.split("```").next().unwrap()).unwrap();
    let output = weir(directory.path(), &["check-config"]);
    assert!(output.status.success(), "{output:?}");
    for of in ["data_dir", "storage.roots"] {
        assert!(stdout(&output).lines().any(|line| line.starts_with(of) && line.contains("weir.toml line")), "{output:?}");
    }
}

#[test]
fn the_demo_does_not_begin_when_its_port_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = weir(directory.path(), &["demo", "--dir", "demo", "--listen", &address]);
    check_refused(&output, &[&format!("could not listen on {address}"), "hint: Stop the other process on this port"]);
    assert!(!directory.path().join("demo").exists(), "nothing was made");
}

#[test]
fn the_demo_can_be_made_twice() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = weir(directory.path(), &["demo", "--check", "--dir", "demo"]);
        assert!(output.status.success(), "{output:?}");
        let text = stdout(&output);
        assert!(text.contains("ready in") && text.contains("weir sql"), "{text}");
    }
}

#[test]
fn the_demo_takes_a_real_data_set() {
    let directory = tempfile::tempdir().unwrap();
    let movielens = test_data("ml-latest-small");
    let output = weir(directory.path(), &["demo", "--check", "--dir", "demo", "--movielens", movielens.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    let n_ratings = std::fs::read_to_string(movielens.join("ratings.csv")).unwrap().lines().count() - 1;
    assert!(text.contains(&n_ratings.to_string()), "{n_ratings} ratings are not in:\n{text}");
    let output = weir(directory.path(), &["demo", "--check", "--dir", "demo2", "--movielens", "demo"]);
    check_refused(&output, &["there is no ratings.csv in \"demo\"", "hint:"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_ends_at_its_timeout_and_its_session_goes_on() {
    let server = Server::start();
    let mut client = server.client().await;
    client.rows("SET statement_timeout = '200 ms'").await.unwrap();
    let started = Instant::now();
    let error = client.rows(ENDLESS).await.unwrap_err();
    assert!(error.contains("longer than its limit of 0.2 s"), "{error}");
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    assert_eq!(client.rows("SELECT 1").await.unwrap(), ["1"]);
    let sql = "SELECT state, error FROM system.queries WHERE sql LIKE '%AS endless%' AND sql NOT LIKE '%system%'";
    let rows = wait_until(&server, sql, |rows| rows.first().is_some_and(|row| row.starts_with("failed"))).await;
    assert!(rows[0].contains("longer than its limit"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_query_ends_the_query_of_another_session() {
    let server = Server::start();
    let mut client = server.client().await;
    let (answer, ()) = tokio::join!(client.rows(ENDLESS), async {
        let id = running_id(&server).await;
        server.sql(&format!("KILL QUERY '{id}'")).await;
        wait_until(&server, &format!("SELECT state FROM system.queries WHERE query_id = '{id}'"), |rows| rows == ["cancelled"]).await;
    });
    let error = answer.unwrap_err();
    assert!(error.contains("cancelled"), "{error}");
    assert_eq!(client.rows("SELECT 1").await.unwrap(), ["1"], "the session goes on");
    let error = server.client().await.rows("KILL QUERY '00000000-0000-0000-0000-000000000000'").await.unwrap_err();
    assert!(error.contains("is not running"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_and_changes_nothing() {
    let server = Server::start();
    server.sql("CREATE TABLE t AS SELECT 1 AS a").await;
    server.sql("CREATE VIEW v AS SELECT a FROM t").await;
    server.sql("CREATE USER r PASSWORD 'x'").await;
    let mut reader = Client::connect(server.address(), Some(("r", "x"))).await.unwrap();
    for (sql, expected) in [("SELECT a FROM t", "1"), ("SELECT a FROM v", "1"), ("SELECT current_user", "r")] {
        assert_eq!(reader.rows(sql).await.unwrap(), [expected], "{sql}");
    }
    for sql in [
        "INSERT INTO t SELECT 2",
        "INSERT OVERWRITE TABLE t SELECT 2",
        "CREATE TABLE u (a INT)",
        "CREATE TABLE u AS SELECT 1 AS a",
        "DROP TABLE t",
        "ALTER TABLE t RENAME TO u",
        "CREATE VIEW w AS SELECT 1 AS a",
        "DROP VIEW v",
        "CREATE DATABASE d",
        "COPY (SELECT 1 AS a) TO '/data/x.csv'",
        "CREATE USER s PASSWORD 'y'",
        "ALTER USER r ADMIN",
        "DROP USER admin",
    ] {
        let error = reader.rows(sql).await.expect_err(sql);
        assert!(error.contains("user \"r\" may not"), "{sql}\n{error}");
    }
    assert_eq!(server.sql("SELECT a FROM t").await, ["1"]);
    assert!(!server.data().join("x.csv").exists());
    // A reader sees and ends no query of others.
    let mut client = server.client().await;
    tokio::join!(client.rows(ENDLESS), async {
        let id = running_id(&server).await;
        let sql = format!("SELECT count(*) FROM system.queries WHERE query_id = '{id}'");
        assert_eq!(reader.rows(&sql).await.unwrap(), ["0"]);
        reader.rows(&format!("KILL QUERY '{id}'")).await.expect_err("the query of another user");
        server.sql(&format!("KILL QUERY '{id}'")).await;
    })
    .0
    .unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_queries_than_the_limit_are_refused_and_the_others_go_on() {
    let server = Server::start_with(&["--dev", "--set", "limits.queries_max=2"]);
    let (mut one, mut two, mut three) = (server.client().await, server.client().await, server.client().await);
    let (first, second, ()) = tokio::join!(one.rows(ENDLESS), two.rows(ENDLESS), async {
        // To look, and to end a query, is possible at the limit.
        let started = Instant::now();
        let rows = loop {
            let rows = three.rows("SHOW PROCESSLIST").await.unwrap_or_else(|error| panic!("at the limit nobody can look: {error}"));
            if rows.iter().filter(|row| row.contains("AS endless")).count() == 2 {
                break rows;
            }
            assert!(started.elapsed() < SOON, "{rows:?}");
        };
        let error = three.rows("SELECT 1").await.unwrap_err();
        assert!(error.contains("2 queries are running, the limit") && error.contains("limits.queries_max"), "{error}");
        for row in rows.iter().filter(|row| row.contains("AS endless")) {
            let id = row.split('\t').next().unwrap_or_default();
            three.rows(&format!("KILL QUERY '{id}'")).await.unwrap_or_else(|error| panic!("at the limit nobody can end a query: {error}"));
        }
    });
    assert!(first.unwrap_err().contains("cancelled") && second.unwrap_err().contains("cancelled"));
    wait_until(&server, "SELECT 1", |rows| rows == ["1"]).await;
}
