//! DELETE, UPDATE and TRUNCATE: which rows, and their new values, are queries.

use super::ast::{Delete, ObjectName, QueryStatement, Statement, Update};
use super::cursor::{Cursor, text_of};
use super::lexeme::Lexeme;
use super::query;
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// After DELETE: `FROM t [[AS] a] [WHERE ..]`.
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["FROM"])?;
    let target = target(cursor)?;
    let place = &cursor.lexemes[0];
    let source = rows(cursor, "DELETE", vec![place.with(Token::Mul)], &target)?;
    Ok(Statement::Delete(Delete { table: target.name, source }))
}

/// After UPDATE: `t [[AS] a] SET a = 1, .. [WHERE ..]`.
pub(super) fn update(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let target = target(cursor)?;
    cursor.expect(&["SET"])?;
    let (mut columns, mut values): (Vec<String>, Vec<Lexeme>) = (Vec::new(), Vec::new());
    loop {
        let column = assigned_column(cursor, &target)?;
        if columns.iter().any(|known| known.eq_ignore_ascii_case(&column)) {
            return Err(Error::new(Code::DuplicateColumn, format!("column \"{column}\" is set twice")));
        }
        let value = assigned_value(cursor)?;
        if let [only] = value
            && only.is_word("DEFAULT")
        {
            return Err(Cursor::not_supported("SET .. = DEFAULT").hint("Write the value."));
        }
        let (Some(first), Some(last)) = (value.first(), value.last()) else { return Err(cursor.unexpected("a value")) };
        if !values.is_empty() {
            values.push(first.with(Token::Comma));
        }
        // Whatever stands there is one value: `SET a = 1 b` must not become an alias.
        values.push(first.with(Token::LParen));
        values.extend_from_slice(value);
        values.push(last.with(Token::RParen));
        columns.push(column);
        if !cursor.accept_token(&Token::Comma) {
            break;
        }
    }
    let source = rows(cursor, "UPDATE", values, &target)?;
    Ok(Statement::Update(Update { table: target.name, columns, source }))
}

/// After TRUNCATE: `[TABLE] t`.
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.peek_at(1).is_some_and(|next| next.token != Token::Period) {
        cursor.accept(&["TABLE"]);
    }
    let name = super::table::dropped_name(cursor, "a table name")?;
    if cursor.is(&["PARTITION"]) {
        return Err(Cursor::not_supported("TRUNCATE .. PARTITION").hint("Use DELETE FROM .. WHERE."));
    }
    cursor.accept_one_of(&["CASCADE", "RESTRICT"]);
    Ok(Statement::Truncate { name })
}

/// The table that changes, and what it is called in the expressions.
struct Target<'a> {
    name: ObjectName,
    lexemes: &'a [Lexeme],
    alias: Option<String>,
}

fn target<'a>(cursor: &mut Cursor<'a>) -> Result<Target<'a>> {
    // PostgreSQL's word: no other table inherits from this one. A table may have that name.
    if cursor.peek_at(1).is_some_and(|next| next.word().is_some() && !next.is_one_of(&["WHERE", "SET", "AS"])) {
        cursor.accept(&["ONLY"]);
    }
    let start = cursor.position;
    let name = cursor.object_name("a table name")?;
    let explicit = cursor.accept(&["AS"]);
    let is_name = |next: &Lexeme| {
        matches!(next.token, Token::Word(_)) && !next.is_one_of(&["WHERE", "SET", "USING", "ORDER", "LIMIT", "RETURNING", "FROM"])
    };
    let alias = if explicit || cursor.peek().is_some_and(is_name) { Some(cursor.name("an alias")?) } else { None };
    Ok(Target { name, lexemes: &cursor.lexemes[start..cursor.position], alias })
}

/// `a =`, `t.a =`.
fn assigned_column(cursor: &mut Cursor<'_>, target: &Target<'_>) -> Result<String> {
    if cursor.is_token(&Token::LParen) {
        return Err(Cursor::not_supported("SET (a, b) = ..").hint("Write SET a = 1, b = 2."));
    }
    let mut name = cursor.object_name("a column name")?;
    let column = name.0.pop().unwrap_or_default();
    if let Some(qualifier) = name.0.last() {
        let table = target.alias.as_ref().or(target.name.0.last());
        if !table.is_some_and(|table| table.eq_ignore_ascii_case(qualifier)) {
            return Err(Error::new(
                Code::InvalidStatement,
                format!("SET names a column of \"{qualifier}\", which is not the table that changes"),
            ));
        }
    }
    cursor.expect_token(&Token::Eq)?;
    Ok(column)
}

/// The tokens up to the next comma or clause.
fn assigned_value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [Lexeme]> {
    let value = part(cursor, |before, next| {
        // `a IS DISTINCT FROM b` is a value.
        let distinct_from = next.is_word("FROM") && before.last().is_some_and(|last| last.is_word("DISTINCT"));
        next.token == Token::Comma || (next.is_one_of(CLAUSES) && !distinct_from)
    })?;
    if value.is_empty() { Err(cursor.unexpected("a value")) } else { Ok(value) }
}

/// Reads tokens up to one that ends them, outside of brackets. A bracket that closes nothing is an error: the part
/// will stand in brackets of ours.
fn part<'a>(cursor: &mut Cursor<'a>, ends: impl Fn(&[Lexeme], &Lexeme) -> bool) -> Result<&'a [Lexeme]> {
    let start = cursor.position;
    let mut depth = 0_usize;
    while let Some(next) = cursor.peek() {
        match next.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace if depth == 0 => return Err(cursor.unexpected("the end of the statement")),
            Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
            _ if depth == 0 && ends(&cursor.lexemes[start..cursor.position], next) => break,
            _ => {}
        }
        cursor.position += 1;
    }
    Ok(&cursor.lexemes[start..cursor.position])
}

const CLAUSES: &[&str] = &["WHERE", "FROM", "RETURNING", "ORDER", "LIMIT"];

/// The query `SELECT <values> FROM <target> [WHERE (..)]`, from what is left of the statement.
fn rows(cursor: &mut Cursor<'_>, verb: &str, values: Vec<Lexeme>, target: &Target<'_>) -> Result<QueryStatement> {
    const REFUSED: &[(&str, &str)] = &[
        ("USING", "Use WHERE .. IN (SELECT ..) or WHERE EXISTS (SELECT ..)."),
        ("FROM", "Use a sub-query: SET a = (SELECT ..)."),
        ("RETURNING", "Select the rows before."),
        ("ORDER", "Say which rows in WHERE."),
        ("LIMIT", "Say which rows in WHERE."),
    ];
    let refuse = |cursor: &Cursor<'_>| {
        let (word, hint) = REFUSED.iter().find(|(word, _)| cursor.is(&[word]))?;
        Some(Cursor::not_supported(&format!("{verb} .. {word}")).hint(*hint))
    };
    if let Some(error) = refuse(cursor) {
        return Err(error);
    }
    let place = target.lexemes[0].clone();
    let mut lexemes = vec![place.with_word("SELECT")];
    lexemes.extend(values);
    lexemes.push(place.with_word("FROM"));
    lexemes.extend_from_slice(target.lexemes);
    let mut text = format!("SELECT * FROM {}", text_of(cursor.source.sql, target.lexemes));
    if cursor.is(&["WHERE"]) {
        let where_place = cursor.peek().cloned().unwrap_or(place);
        cursor.position += 1;
        let predicate = part(cursor, |_, next| next.is_one_of(&["RETURNING", "ORDER", "LIMIT"]))?;
        let Some(last) = predicate.last() else { return Err(cursor.unexpected("a condition")) };
        if let Some(error) = refuse(cursor) {
            return Err(error);
        }
        text = format!("{text} WHERE {}", text_of(cursor.source.sql, predicate));
        lexemes.push(where_place.clone());
        // In brackets: whatever stands there is the condition and nothing else.
        lexemes.push(where_place.with(Token::LParen));
        lexemes.extend_from_slice(predicate);
        lexemes.push(last.with(Token::RParen));
    } else if !cursor.at_end() {
        return Err(cursor.unexpected("WHERE"));
    }
    query::parse(cursor.source, lexemes, text)
}
