//! SQL text to [`Statement`]s; no IO, no names resolved.

pub mod ast;

pub use ast::*;

use crate::error::Result;

/// Parses a text of one or more statements separated by semicolons.
pub fn parse(_sql: &str) -> Result<Vec<Statement>> {
    todo!()
}

/// Parses exactly one statement.
pub fn parse_one(_sql: &str) -> Result<Statement> {
    todo!()
}

/// Splits a script into its statements' texts, respecting strings, quoted names, comments and dollar
/// quotes. The second value is what remains unfinished at the end (empty when the script is complete).
pub fn split(_sql: &str) -> (Vec<String>, String) {
    todo!()
}

/// Parses a type as written in DDL (`STRING`, `DECIMAL(10,2)`, `ARRAY<INT>`, `MAP<STRING,INT>`, `STRUCT<a: INT>`).
pub fn parse_type(_text: &str) -> Result<sqlparser::ast::DataType> {
    todo!()
}

/// Quotes a name where SQL needs it.
pub fn quote_name(_name: &str) -> String {
    todo!()
}
