//! Tables of cases, one file per family; errors first.

mod dialect;
mod errors;
mod fuzz;
mod limits;
mod queries;
mod scripts;
mod session;
mod streams;
mod tables;

use super::*;
use crate::error::{Code, Error};

#[track_caller]
fn one(sql: &str) -> Statement {
    parse_one(sql).unwrap_or_else(|error| panic!("{sql}\n{error}"))
}

#[track_caller]
fn refused(sql: &str) -> Error {
    match parse_one(sql) {
        Ok(statement) => panic!("{sql}\nwas accepted: {statement:?}"),
        Err(error) => error,
    }
}

/// The whole error on one line contains `expected`.
#[track_caller]
fn check_error(sql: &str, code: Code, expected: &str) {
    let error = refused(sql);
    assert!(error.code == code && error.one_line().contains(expected), "{sql}\n{code:?} {expected}\n{:?} {}", error.code, error.one_line());
    assert!(!error.message.contains('\n') && !error.message.ends_with('.'), "{}", error.message);
}

/// The query's tree, printed.
#[track_caller]
fn check_query(sql: &str, expected: &str) {
    match one(sql) {
        Statement::Query(query) => assert_eq!(query.query.to_string(), expected, "{sql}"),
        other => panic!("{sql}\n{other:?}"),
    }
}

#[track_caller]
fn query_of(sql: &str) -> QueryStatement {
    match one(sql) {
        Statement::Query(query) => query,
        other => panic!("{sql}\n{other:?}"),
    }
}

#[track_caller]
fn table_of(sql: &str) -> CreateTable {
    match one(sql) {
        Statement::CreateTable(table) => table,
        other => panic!("{sql}\n{other:?}"),
    }
}

fn name(text: &str) -> ObjectName {
    ObjectName(text.split('.').map(Into::into).collect())
}

fn text_option(key: &str, value: &str) -> SqlOption {
    SqlOption { key: key.into(), value: OptionValue::Text(value.into()) }
}
