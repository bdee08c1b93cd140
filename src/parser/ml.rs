//! `ML.EVALUATE(MODEL m, ..)` and its family: taken out of a query's tokens, a table name left behind.

use super::ast::{MlCall, QueryStatement};
use super::cursor::Cursor;
use super::lexeme::{Lexeme, closing};
use super::options;
use super::query;
use super::syntax::Source;
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::{Token, Word};

/// The name of the table that stands for a call, without its number.
pub const ML_STAND_IN: &str = "__weir_ml_";

/// Takes the ML calls out of these tokens.
pub(super) fn extract(source: Source<'_>, lexemes: Vec<Lexeme>) -> Result<(Vec<Lexeme>, Vec<MlCall>)> {
    if !lexemes.iter().any(|lexeme| lexeme.is_word("ML")) {
        return Ok((lexemes, Vec::new()));
    }
    let mut out = Vec::with_capacity(lexemes.len());
    let mut calls = Vec::new();
    let mut idx = 0;
    while idx < lexemes.len() {
        let Some(function) = called_function(&lexemes[idx..]) else {
            out.push(lexemes[idx].clone());
            idx += 1;
            continue;
        };
        let open = idx + 3;
        let close = closing(&lexemes, open).ok_or_else(|| source.unexpected(None, "\")\""))?;
        let table = Token::Word(Word {
            value: format!("{ML_STAND_IN}{}", calls.len()),
            quote_style: None,
            keyword: sqlparser::keywords::Keyword::NoKeyword,
        });
        out.push(Lexeme { end: lexemes[close].end, ..lexemes[idx].with(table) });
        let mut inner = source;
        inner.end = lexemes[close].span.start;
        calls.push(call(function, Cursor::new(inner, &lexemes[open + 1..close]))?);
        idx = close + 1;
    }
    Ok((out, calls))
}

/// The function's name when `ML.name(` stands here.
fn called_function(lexemes: &[Lexeme]) -> Option<String> {
    let [prefix, period, function, open, ..] = lexemes else { return None };
    if !prefix.is_word("ML") || period.token != Token::Period || open.token != Token::LParen {
        return None;
    }
    function.word().map(str::to_ascii_lowercase)
}

/// `MODEL m [, TABLE t | (query)] [, STRUCT(..)]`.
fn call(function: String, mut cursor: Cursor<'_>) -> Result<MlCall> {
    cursor.expect(&["MODEL"])?;
    let model = cursor.object_name("a model name")?;
    let mut input: Option<QueryStatement> = None;
    let mut options = None;
    while cursor.accept_token(&Token::Comma) {
        let twice = if cursor.is(&["STRUCT"]) {
            cursor.position += 1;
            options.replace(options::structure(&mut cursor)?).is_some()
        } else if cursor.accept(&["TABLE"]) {
            let start = cursor.position;
            cursor.object_name("a table name")?;
            input.replace(query::select_all(cursor.source, &cursor.lexemes[start..cursor.position])?).is_some()
        } else if cursor.is_token(&Token::LParen) {
            input.replace(cursor.bracketed()?.query()?).is_some()
        } else {
            return Err(cursor.unexpected("TABLE t, a query in brackets, or STRUCT(..)"));
        };
        if twice {
            return Err(Error::new(Code::Syntax, format!("ML.{} has two inputs or two STRUCTs", function.to_ascii_uppercase())));
        }
    }
    if !cursor.at_end() {
        return Err(cursor.unexpected("\",\" or \")\""));
    }
    Ok(MlCall { function, model, input: input.map(Box::new), options: options.unwrap_or_default() })
}
