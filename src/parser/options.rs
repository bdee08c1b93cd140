//! Lists of options in every spelling: `'k'='v'`, `'k' 'v'`, `k = v`, `a.b 'v'`.

use super::ast::{OptionValue, SqlOption};
use super::cursor::Cursor;
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// `(key = value, ..)`; may be empty.
pub(super) fn list(cursor: &mut Cursor<'_>) -> Result<Vec<SqlOption>> {
    read(cursor, false)
}

/// As [`list`], and a key alone means TRUE: PostgreSQL's `COPY .. WITH (HEADER)`.
pub(super) fn list_with_flags(cursor: &mut Cursor<'_>) -> Result<Vec<SqlOption>> {
    read(cursor, true)
}

fn read(cursor: &mut Cursor<'_>, flags: bool) -> Result<Vec<SqlOption>> {
    let mut inner = cursor.bracketed()?;
    let mut options: Vec<SqlOption> = Vec::new();
    while !inner.at_end() {
        let key = key(&mut inner)?;
        let value = if inner.accept_token(&Token::Eq) || !(flags && (inner.at_end() || inner.is_token(&Token::Comma))) {
            value(&mut inner)?
        } else {
            OptionValue::Bool(true)
        };
        push(&mut options, SqlOption { key, value })?;
        separator(&mut inner)?;
    }
    Ok(options)
}

/// `(value AS key, ..)` after STRUCT; keys in lower case.
pub(super) fn structure(cursor: &mut Cursor<'_>) -> Result<Vec<SqlOption>> {
    let mut inner = cursor.bracketed()?;
    let mut options: Vec<SqlOption> = Vec::new();
    while !inner.at_end() {
        let value = value(&mut inner)?;
        inner.expect(&["AS"])?;
        let key = inner.name("a name")?.to_lowercase();
        push(&mut options, SqlOption { key, value })?;
        separator(&mut inner)?;
    }
    Ok(options)
}

/// A comma with something after it, or the end.
fn separator(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.at_end() {
        return Ok(());
    }
    if !cursor.accept_token(&Token::Comma) {
        return Err(cursor.unexpected("\",\" or \")\""));
    }
    if cursor.at_end() { Err(cursor.unexpected("an option")) } else { Ok(()) }
}

fn push(options: &mut Vec<SqlOption>, option: SqlOption) -> Result<()> {
    if options.iter().any(|known| known.key.eq_ignore_ascii_case(&option.key)) {
        return Err(Error::new(Code::InvalidParameter, format!("option \"{}\" is given twice", option.key)));
    }
    options.push(option);
    Ok(())
}

/// A string, or words with dots between them.
pub(super) fn key(cursor: &mut Cursor<'_>) -> Result<String> {
    if let Some(text) = cursor.accept_single_quoted() {
        return Ok(text);
    }
    let mut key = cursor.name("an option name")?;
    while cursor.is_token(&Token::Period) || cursor.is_token(&Token::Minus) {
        key.push(if cursor.accept_token(&Token::Period) { '.' } else { '-' });
        cursor.accept_token(&Token::Minus);
        key.push_str(&cursor.name("an option name")?);
    }
    Ok(key)
}

/// One value of an option.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Result<OptionValue> {
    if let Some(text) = cursor.accept_text() {
        return Ok(OptionValue::Text(text));
    }
    let negative = cursor.accept_token(&Token::Minus);
    if negative || cursor.is_token(&Token::Plus) {
        cursor.accept_token(&Token::Plus);
        return number(cursor, negative);
    }
    match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Number(..)) => number(cursor, false),
        Some(Token::LBracket) => elements(cursor),
        Some(Token::Word(word)) if word.quote_style.is_some() => Ok(OptionValue::Text(cursor.name("a value")?)),
        Some(Token::Word(_)) => word(cursor),
        _ => Err(cursor.unexpected("a value")),
    }
}

fn number(cursor: &mut Cursor<'_>, negative: bool) -> Result<OptionValue> {
    match cursor.peek().map(|lexeme| &lexeme.token) {
        Some(Token::Number(digits, _)) => {
            cursor.position += 1;
            Ok(OptionValue::Number(if negative { format!("-{digits}") } else { digits.clone() }))
        }
        _ => Err(cursor.unexpected("a number")),
    }
}

/// `[a, b]`.
fn elements(cursor: &mut Cursor<'_>) -> Result<OptionValue> {
    cursor.expect_token(&Token::LBracket)?;
    let mut elements = Vec::new();
    while !cursor.accept_token(&Token::RBracket) {
        elements.push(value(cursor)?);
        if !cursor.is_token(&Token::RBracket) && !cursor.accept_token(&Token::Comma) {
            return Err(cursor.unexpected("\",\" or \"]\""));
        }
    }
    Ok(OptionValue::List(elements))
}

/// TRUE, FALSE, NULL, SECRET name, a call, an array, or a bare word such as `parquet`.
fn word(cursor: &mut Cursor<'_>) -> Result<OptionValue> {
    let word = cursor.name("a value")?;
    let upper = word.to_ascii_uppercase();
    match (upper.as_str(), cursor.peek().map(|lexeme| &lexeme.token)) {
        ("TRUE", _) => Ok(OptionValue::Bool(true)),
        ("FALSE", _) => Ok(OptionValue::Bool(false)),
        ("NULL", _) => Ok(OptionValue::Null),
        ("ARRAY", Some(Token::LBracket)) => elements(cursor),
        ("SECRET", Some(Token::Word(_))) => Ok(OptionValue::Secret(cursor.name("a secret's name")?)),
        (_, Some(Token::LParen)) => {
            let mut inner = cursor.bracketed()?;
            let mut arguments = Vec::new();
            while !inner.at_end() {
                arguments.push(value(&mut inner)?);
                separator(&mut inner)?;
            }
            Ok(OptionValue::Call(upper, arguments))
        }
        _ => Ok(OptionValue::Text(word)),
    }
}
