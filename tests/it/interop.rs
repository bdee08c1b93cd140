//! Other programs' files and other programs' readers: what Spark and Hive write is read right, DuckDB answers the
//! same on the same files, and delta-rs reads our managed tables.

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
