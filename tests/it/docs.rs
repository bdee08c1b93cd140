//! `docs/reference` is printed from the tables in the code. `WEIR_DOCS_UPDATE=1 cargo test --test it docs` prints it again.

use crate::harness::repository;
use std::fmt::Write;
use weir::engine::{settings, system};

fn check(name: &str, text: &str) {
    let path = repository().join("docs/reference").join(name);
    if std::env::var_os("WEIR_DOCS_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let printed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(printed == text, "docs/reference/{name} is stale: WEIR_DOCS_UPDATE=1 cargo test --test it docs");
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn configuration() {
    check("configuration.md", &weir::config::keys::reference());
}

#[test]
fn functions() {
    let mut text = String::from(
        "# Functions\n\nWhat weir adds to the functions of the query engine, or limits. `SHOW FUNCTIONS` lists all of them.\n\n\
         | function | what it does | example | answers |\n| --- | --- | --- | --- |\n",
    );
    for function in weir_functions::FUNCTIONS {
        let result = if function.result.is_empty() { "" } else { function.result };
        writeln!(text, "| `{}` | {} | `{}` | {} |", cell(function.signature), cell(function.help), cell(function.example), cell(result))
            .unwrap();
    }
    check("functions.md", &text);
}

#[test]
fn statements() {
    let mut text = String::from(
        "# Statements\n\nAs `\\h` of the console shows them. `[ ]` may be left out, of `{ | }` one is chosen, `..` goes on in the same way. Names \
         have no case; `\"a name\"` may have any characters. Types and options of other systems are taken too.\n",
    );
    for topic in weir::console::help::TOPICS {
        write!(text, "\n## {}\n\n{}.\n\n```text\n{}\n```\n", topic.name, capitalised(topic.help), topic.syntax).unwrap();
    }
    check("statements.md", &text);
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[test]
fn stream_options() {
    let mut text = String::from(
        "# Options of streaming tables\n\nIn WITH of CREATE STREAMING TABLE, with `'connector' = 'kafka'`. Other spellings of an option are taken too.\n\n\
         | option | default | what it is |\n| --- | --- | --- |\n",
    );
    for option in weir::connect::kafka::KAFKA_OPTIONS {
        let spellings: Vec<String> = option.spellings.iter().map(|spelling| format!("`{spelling}`")).collect();
        let default = if option.default.is_empty() { String::new() } else { format!("`{}`", option.default) };
        writeln!(text, "| {} | {default} | {} |", spellings.join(", "), cell(option.help)).unwrap();
    }
    check("stream-options.md", &text);
}

#[test]
fn errors() {
    let mut text = String::from(
        "# Errors\n\nEvery failure has a code; each door spells it in its own way.\n\n\
         | code | SQLSTATE | gRPC status | HTTP |\n| --- | --- | --- | --- |\n",
    );
    for row in weir::error::CODES {
        let grpc = tonic::Code::from_i32(row.grpc);
        writeln!(text, "| `{}` | {} | {grpc:?} ({}) | {} |", row.name, row.sqlstate, row.grpc, row.http).unwrap();
    }
    check("errors.md", &text);
}

#[test]
fn metrics() {
    let mut text = String::from(
        "# Metrics\n\n`SELECT * FROM system.metrics` shows them.\n\n| metric | kind | what it counts |\n| --- | --- | --- |\n",
    );
    for metric in weir::telemetry::metrics::METRICS {
        writeln!(text, "| `{}` | {} | {} |", metric.name, metric.value.kind(), cell(metric.help)).unwrap();
    }
    check("metrics.md", &text);
}

#[test]
fn session_settings() {
    let mut text = String::from(
        "# Settings of a session\n\n`SET name = value`, `RESET name`, `SHOW ALL`. Everything else is the administrator's: see configuration.\n\n\
         | setting | default | what it does |\n| --- | --- | --- |\n",
    );
    for setting in settings::SETTINGS {
        writeln!(text, "| `{}` | `{}` | {} |", setting.name, setting.default, cell(setting.help)).unwrap();
    }
    check("settings.md", &text);
}

#[test]
fn system_tables() {
    let mut text = String::from("# System tables\n\nIn the database `system`.\n\n| table | rows |\n| --- | --- |\n");
    for table in system::TABLES {
        writeln!(text, "| `system.{}` | {} |", table.name, cell(table.help)).unwrap();
    }
    check("system-tables.md", &text);
}
