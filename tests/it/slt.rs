//! SQL against a real server over Flight SQL: every file of `tests/slt`.
//!
//! `WEIR_SLT=part/of/name cargo test --test it slt` runs some; `WEIR_SLT_UPDATE=1` rewrites expectations.

use crate::harness::client::{Answer, cells};
use crate::harness::{Client, Server, repository, test_data};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use std::path::{Path, PathBuf};

struct Door(Client);

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

#[async_trait::async_trait]
impl AsyncDB for Door {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        match self.0.run(sql).await.map_err(Failure)? {
            Answer::Count(count) => Ok(DBOutput::StatementComplete(u64::try_from(count).unwrap_or(0))),
            Answer::Rows(batches) => {
                let n_columns = batches.first().map_or(0, |batch| batch.num_columns());
                let mut rows = cells(&batches);
                for cell in rows.iter_mut().flatten() {
                    if cell.is_empty() {
                        *cell = "(empty)".into();
                    }
                    *cell = cell.replace('\n', "\\n");
                }
                Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; n_columns], rows })
            }
        }
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "weir"
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory).expect("tests/slt").map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            files(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "slt") {
            found.push(entry);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_file_of_sql_holds() {
    let mut found = Vec::new();
    files(&repository().join("tests/slt"), &mut found);
    let wanted = std::env::var("WEIR_SLT").unwrap_or_default();
    found.retain(|file| file.to_string_lossy().contains(&wanted));
    assert!(!found.is_empty(), "no .slt file has \"{wanted}\" in its path");
    let mut failures = Vec::new();
    let mut n_records = 0;
    for file in &found {
        n_records += sqllogictest::parse_file::<DefaultColumnType>(file)
            .unwrap_or_else(|error| panic!("{error}"))
            .iter()
            .filter(|record| matches!(record, sqllogictest::Record::Statement { .. } | sqllogictest::Record::Query { .. }))
            .count();
        if let Err(error) = run(file).await {
            failures.push(format!("{}:\n{error}", file.display()));
        }
    }
    println!("{n_records} records in {} files", found.len());
    assert!(failures.is_empty(), "{} of {} files fail:\n\n{}", failures.len(), found.len(), failures.join("\n\n"));
    assert!(!wanted.is_empty() || n_records >= 300, "the SQL surface deserves 300 records, there are {n_records}");
}

async fn run(file: &Path) -> Result<(), String> {
    let server = Server::start();
    let address = server.address().to_owned();
    let mut runner = Runner::new(|| {
        let address = address.clone();
        async move { Client::connect(&address, None).await.map(Door).map_err(Failure) }
    });
    runner.set_var("DATA".into(), server.data().to_string_lossy().into_owned());
    runner.set_var("MOVIELENS".into(), test_data("ml-latest-small").to_string_lossy().into_owned());
    let result = if std::env::var_os("WEIR_SLT_UPDATE").is_some() {
        runner
            .update_test_file(
                file,
                "\t",
                sqllogictest::default_validator,
                sqllogictest::default_normalizer,
                sqllogictest::default_column_validator,
            )
            .await
            .map_err(|error| error.to_string())
    } else {
        runner.run_file_async(file).await.map_err(|error| error.to_string())
    };
    runner.shutdown_async().await;
    result
}
