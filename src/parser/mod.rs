//! SQL text to [`Statement`]s; no IO, no names resolved.
//!
//! ```text
//! text -> lexeme (tokens once) -> limits (counts) -> dialect (token rewriting) -> statement (first words)
//!      -> one file per family -> query (ml calls out, sqlparser, normalise)
//! ```

mod alter;
pub mod ast;
mod copy;
mod cursor;
mod database;
mod delete;
mod dialect;
mod grammar;
mod insert;
mod lexeme;
mod limits;
mod maintenance;
mod ml;
mod model;
mod names;
mod normalise;
mod options;
mod query;
mod row_format;
mod session;
mod show;
mod split;
mod stack;
mod statement;
mod stream;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod types;
mod user;
mod view;

pub use ast::*;
pub use ml::ML_STAND_IN;
pub use names::quote_name;
pub use query::query_of;
pub use split::split;

use crate::error::Result;
use lexeme::Lexeme;
use sqlparser::tokenizer::Token;

/// Parses a text of one or more statements separated by semicolons.
///
/// # Errors
/// `Syntax` with line and column; `NotSupported` for statements that we understand and do not have;
/// `LimitExceeded` for texts that are too long, too deep or chain too many operators.
pub fn parse(sql: &str) -> Result<Vec<Statement>> {
    let lexemes = tokens(sql)?;
    pieces(&lexemes).map(|piece| statement::parse(sql, piece)).collect()
}

/// Parses exactly one statement; a final semicolon is allowed.
///
/// # Errors
/// As [`parse`], and `Syntax` when there is no statement or more than one.
pub fn parse_one(sql: &str) -> Result<Statement> {
    let lexemes = tokens(sql)?;
    let mut pieces = pieces(&lexemes);
    let piece = pieces.next().ok_or_else(statement::none_found)?;
    match pieces.next() {
        Some(second) => Err(statement::several_found(&second[0])),
        None => statement::parse(sql, piece),
    }
}

/// Parses a type as written in DDL (`STRING`, `DECIMAL(10,2)`, `ARRAY<INT>`, `MAP<STRING,INT>`, `STRUCT<a: INT>`).
///
/// # Errors
/// `Syntax` when the text is not a type and nothing else.
pub fn parse_type(text: &str) -> Result<sqlparser::ast::DataType> {
    types::parse_text(text)
}

fn tokens(sql: &str) -> Result<Vec<Lexeme>> {
    limits::check_length(sql)?;
    match lexeme::lex(sql) {
        (lexemes, None) => Ok(lexemes),
        (_, Some(error)) => Err(syntax::not_tokens(&error)),
    }
}

/// The statements' tokens, without empty ones.
fn pieces(lexemes: &[Lexeme]) -> impl Iterator<Item = &[Lexeme]> {
    lexemes.split(|lexeme| lexeme.token == Token::SemiColon).filter(|piece| !piece.is_empty())
}
