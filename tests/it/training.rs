//! Training beside everything else: it is seen, cancelled, killed; other statements go on; no half model is ever there.

use crate::harness::{Client, Server};
use std::path::Path;
use std::time::{Duration, Instant};
use weir::telemetry::task;

/// Enough work for the tests to look at it: many iterations over few ratings.
const LONG_TRAINING: &str = "CREATE OR REPLACE MODEL m OPTIONS (model_type = 'als', rank = 64, max_iterations = 1000, data_split_method = 'no_split') \
     AS SELECT user_id, item_id, rating FROM ratings";
const SHORT_TRAINING: &str =
    "CREATE OR REPLACE MODEL m OPTIONS (model_type = 'als', rank = 4, max_iterations = 2) AS SELECT user_id, item_id, rating FROM ratings";
/// Nothing here takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

async fn server_with_ratings() -> Server {
    let server = Server::start();
    server
        .sql(
            "CREATE TABLE ratings AS SELECT value % 2000 AS user_id, (value * value + value / 7) % 1500 AS item_id, \
             1 + value % 5 AS rating FROM generate_series(0, 299999) AS t(value)",
        )
        .await;
    server
}

/// Waits until a run is fitting, and returns its query.
async fn fitting(client: &mut Client) -> String {
    let deadline = Instant::now() + LIMIT;
    loop {
        let rows = client.rows("SELECT query_id FROM system.model_runs WHERE state = 'running' AND iteration > 0").await.unwrap();
        if let Some(query) = rows.first() {
            return query.clone();
        }
        assert!(Instant::now() < deadline, "no run gets to its first iteration");
        tokio::task::yield_now().await;
    }
}

/// Directories of versions under the models' directory; what is being written has a hidden name.
fn versions_on_disk(server: &Server) -> usize {
    let models = server.data_dir().join("models");
    let entries =
        |path: &Path| std::fs::read_dir(path).map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default();
    let models: Vec<_> = entries(&models);
    models
        .iter()
        .map(|model| {
            let versions: Vec<_> = entries(model);
            versions.len()
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_seen_while_it_trains_and_cancelled_without_a_trace() {
    let server = server_with_ratings().await;
    let (mut trainer, mut watcher) = (server.client().await, server.client().await);
    let training = task::spawn("trainer", async move { trainer.rows(LONG_TRAINING).await });
    let query = fitting(&mut watcher).await;
    // Other statements are answered meanwhile.
    for _ in 0..50 {
        assert_eq!(watcher.rows("SELECT count(*) FROM ratings WHERE user_id = 7").await.unwrap(), ["150"]);
    }
    let shown = watcher.rows("SELECT model_name, state, phase, iterations_max FROM system.model_runs").await.unwrap();
    assert_eq!(shown, ["m\trunning\tfitting\t1000"]);
    assert_eq!(watcher.rows("SHOW MODELS").await.unwrap(), Vec::<String>::new());
    watcher.rows(&format!("KILL QUERY '{query}'")).await.unwrap();
    let error = tokio::time::timeout(LIMIT, training).await.expect("the training ends").unwrap().unwrap_err();
    assert!(error.contains("cancelled"), "{error}");
    let state = watcher.rows("SELECT state, version FROM system.model_runs").await.unwrap();
    assert_eq!(state, ["cancelled\tNULL"]);
    assert_eq!(watcher.rows("SHOW MODELS").await.unwrap(), Vec::<String>::new());
    assert_eq!(versions_on_disk(&server), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_training_leaves_the_version_before_it() {
    let server = server_with_ratings().await;
    server.sql(SHORT_TRAINING).await;
    let before = server.sql("SELECT * FROM recommend('m', 7, 5)").await;
    assert_eq!(before.len(), 5);
    let (mut trainer, mut watcher) = (server.client().await, server.client().await);
    let training = task::spawn("trainer", async move { trainer.rows(LONG_TRAINING).await });
    fitting(&mut watcher).await;
    let mut server = server;
    server.kill();
    assert!(tokio::time::timeout(LIMIT, training).await.expect("the connection ends").unwrap().is_err());
    let server = server.restart();
    assert_eq!(server.sql("SELECT default_version FROM system.models").await, ["1"]);
    assert_eq!(server.sql("SELECT * FROM recommend('m', 7, 5)").await, before);
    assert_eq!(versions_on_disk(&server), 1);
    // And the next one is number 2, whatever became of the killed one.
    server.sql(SHORT_TRAINING).await;
    assert_eq!(server.sql("SELECT version, is_default FROM system.model_versions ORDER BY version").await, ["1\tfalse", "2\ttrue"]);
    server.sql("ALTER MODEL m SET DEFAULT VERSION 1").await;
    assert_eq!(server.sql("SELECT default_version FROM system.models").await, ["1"]);
    assert_eq!(server.sql("SELECT * FROM recommend('m', 7, 5)").await, before);
}

/// Three statements give a new name to a model at once: none fails after its work, and each has a version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_train_one_model_at_once_keep_a_version_each() {
    let server = server_with_ratings().await;
    let mut trainers = Vec::new();
    for _ in 0..3 {
        let mut client = server.client().await;
        trainers.push(task::spawn("trainer", async move { client.rows(SHORT_TRAINING).await }));
    }
    for trainer in trainers {
        trainer.await.unwrap().unwrap();
    }
    let mut client = server.client().await;
    assert_eq!(client.rows("SELECT count(DISTINCT version) FROM system.model_versions WHERE model_name = 'm'").await.unwrap(), ["3"]);
    assert_eq!(versions_on_disk(&server), 3);
    assert_eq!(client.rows("SELECT count(*) FROM recommend('m', 7, 5)").await.unwrap(), ["5"]);
}

/// Large factors ask for huge pages; an allocator that turns them off for the process would take them away unseen.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_is_asked_once_about_a_row_and_after_the_filters() {
    let server = Server::start();
    let mut client = server.client().await;
    let make = "CREATE TABLE rows AS SELECT value AS id, value % 7 AS a, CASE WHEN value % 7 > 3 THEN 'x' ELSE 'y' END AS label \
                FROM generate_series(1, 200)";
    client.rows(make).await.unwrap();
    client
        .rows("CREATE MODEL m OPTIONS (model_type='logistic_reg', input_label_cols=['label']) AS SELECT a, label FROM rows")
        .await
        .unwrap();
    for query in [
        "SELECT * FROM ML.PREDICT(MODEL m, TABLE rows) WHERE id < 3",
        "SELECT id, predicted_label FROM ML.PREDICT(MODEL m, TABLE rows) WHERE id < 3",
        "SELECT id, predicted_label, predicted_label_probs[1].prob FROM ML.PREDICT(MODEL m, TABLE rows) WHERE predicted_label = 'x' AND id < 3",
        "SELECT * FROM ML.PREDICT(MODEL m, TABLE rows) WHERE predicted_label = 'x' AND predicted_label_probs[1].prob > 0.5 AND id < 3",
        "SELECT * FROM ML.PREDICT(MODEL m, (SELECT * FROM rows ORDER BY a LIMIT 2)) WHERE id < 3",
        "SELECT predicted_label, max(predicted_label_probs[1].prob) FROM ML.PREDICT(MODEL m, TABLE rows) WHERE id < 3 GROUP BY 1",
    ] {
        let rows = client.rows(&format!("EXPLAIN {query}")).await.unwrap().join("\n");
        let physical = &rows[rows.find("Exec").unwrap_or_else(|| panic!("{rows}"))..];
        assert_eq!(physical.matches("ml_predict(").count(), 1, "{query}\n{rows}");
        // What is done first stands below.
        let (asked, filtered) = (physical.find("ml_predict("), physical.rfind("id@0 < 3"));
        assert!(filtered > asked, "{query}\n{rows}");
    }
}

#[tokio::test]
async fn the_process_may_have_huge_pages() {
    let server = Server::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
    assert!(allowed.is_none_or(|allowed| allowed.trim() == "1"), "{allowed:?}");
}
