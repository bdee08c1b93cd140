//! Other programs' files and other programs' readers: what Spark and Hive write is read right, DuckDB answers the
//! same on the same files, delta-rs reads our managed tables, and we read its tables.

use crate::harness::python::{run_python, succeeded};
use crate::harness::{Server, test_data_root};

/// Runs a script of `tests/clients` against a server of its own; `/data/lake` is the directory that both sides see.
async fn run(script: &str, parts: &[&str]) {
    let server = Server::start();
    let lake = server.data().join("lake");
    std::fs::create_dir_all(&lake).unwrap();
    for part in parts {
        let arguments = [server.address(), &lake.to_string_lossy(), &test_data_root().canonicalize().unwrap().to_string_lossy(), part]
            .map(str::to_owned);
        let script = format!("tests/clients/{script}");
        let output = tokio::task::spawn_blocking(move || run_python(&script, &arguments)).await.unwrap();
        print!("{}", succeeded(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_spark_and_hive_are_read_right() {
    run("duckdb_compare.py", &["conventions"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_files_answer_as_in_duckdb() {
    run("duckdb_compare.py", &["parquet"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn csv_files_answer_as_in_duckdb() {
    run("duckdb_compare.py", &["csv"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_files_answer_as_in_duckdb() {
    run("duckdb_compare.py", &["json"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_write_is_read_by_duckdb() {
    run("duckdb_compare.py", &["written"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_tables_are_read_by_delta_rs() {
    run("deltalake_compare.py", &["types", "partitions", "checkpoint"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_delta_rs_are_read_right() {
    run("deltalake_write.py", &["commits", "values", "refused"]).await;
}

/// Of the cases of `spark_save.py`, one of each kind of model; all of them take Spark some minutes.
const SPARK_CASES: [&str; 5] = ["telco_forest", "telco_logistic", "telco_boosted", "cars_poisson", "recommender"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_saved_by_spark_predict_as_in_spark() {
    let server = Server::start();
    let saved = server.data().join("spark").to_string_lossy().into_owned();
    let data = test_data_root().canonicalize().unwrap().to_string_lossy().into_owned();
    let only = || std::iter::once("--only").chain(SPARK_CASES).map(str::to_owned);
    let arguments: Vec<String> = [saved.clone(), data].into_iter().chain(only()).collect();
    let output = tokio::task::spawn_blocking(move || run_python("tests/clients/spark_save.py", &arguments)).await.unwrap();
    succeeded(&output);
    let uri = format!("grpc://{}", server.address());
    let arguments = [uri, saved, "--server-directory".to_owned(), "/data/spark".to_owned()];
    let output = tokio::task::spawn_blocking(move || run_python("tests/clients/spark_compare.py", &arguments)).await.unwrap();
    let text = succeeded(&output);
    // A case may save more than one model.
    let n_models = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(n_models >= SPARK_CASES.len(), "{text}");
    print!("{text}");
}
