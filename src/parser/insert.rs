//! INSERT INTO and INSERT OVERWRITE, with Hive's PARTITION clause.

use super::alter::partition_values;
use super::ast::{Insert, QueryStatement, Statement};
use super::cursor::Cursor;
use super::lexeme::Lexeme;
use super::query;
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// After INSERT. `with` holds the tokens of `WITH q AS (..)` when they stood before it, as in Hive.
pub(super) fn parse(cursor: &mut Cursor<'_>, with: &[Lexeme]) -> Result<Statement> {
    let overwrite = cursor.accept(&["OVERWRITE"]);
    if overwrite {
        cursor.accept(&["INTO"]);
        if cursor.is(&["DIRECTORY"]) || cursor.is(&["LOCAL", "DIRECTORY"]) {
            return Err(Cursor::not_supported("INSERT OVERWRITE DIRECTORY").hint("Use COPY (SELECT ..) TO 'directory'."));
        }
    } else if !cursor.accept(&["INTO"]) {
        return Err(cursor.unexpected("INTO or OVERWRITE"));
    }
    // `INSERT INTO TABLE t`; a table may be called "table" in quotes only.
    cursor.accept(&["TABLE"]);
    let table = cursor.object_name("a table name")?;
    let mut partition = Vec::new();
    let mut columns = Vec::new();
    loop {
        if cursor.accept(&["PARTITION"]) {
            if !partition.is_empty() {
                return Err(super::cursor::given_twice("PARTITION"));
            }
            partition = partition_values(cursor)?;
            if cursor.is(&["IF", "NOT", "EXISTS"]) {
                return Err(Cursor::not_supported("IF NOT EXISTS of a partition"));
            }
        } else if cursor.is_token(&Token::LParen) && columns.is_empty() && !query::begins(&cursor.rest()[1..]) {
            columns = cursor.names_in_brackets("a column name")?;
        } else {
            break;
        }
    }
    if cursor.is(&["DEFAULT", "VALUES"]) || cursor.is(&["BY", "NAME"]) || cursor.is(&["SET"]) {
        let word = cursor.peek_word().unwrap_or_default();
        return Err(Cursor::not_supported(&format!("INSERT .. {word}")));
    }
    if let Some(name) = columns.iter().enumerate().find(|(idx, name)| columns[..*idx].contains(name)).map(|(_, name)| name) {
        return Err(Error::new(Code::DuplicateColumn, format!("column \"{name}\" is given twice")));
    }
    if !query::begins(cursor.rest()) {
        return Err(cursor.unexpected("SELECT, VALUES or another query"));
    }
    let source = source(cursor, with)?;
    Ok(Statement::Insert(Insert { table, columns, overwrite, partition, source }))
}

fn source(cursor: &mut Cursor<'_>, with: &[Lexeme]) -> Result<QueryStatement> {
    refuse_endings(cursor)?;
    if with.is_empty() {
        return cursor.query();
    }
    let rest = cursor.rest();
    cursor.position = cursor.lexemes.len();
    let text = format!("{} {}", cursor.text_of(with), cursor.text_of(rest));
    query::parse(cursor.source, with.iter().chain(rest).cloned().collect(), text)
}

/// `ON CONFLICT`, `ON DUPLICATE KEY` and `RETURNING` after the query.
fn refuse_endings(cursor: &Cursor<'_>) -> Result<()> {
    for pair in cursor.rest().windows(2) {
        if pair[0].is_word("ON") && pair[1].is_one_of(&["CONFLICT", "DUPLICATE"]) {
            return Err(Cursor::not_supported("INSERT .. ON CONFLICT"));
        }
        if pair[0].ends_expression() && pair[1].is_word("RETURNING") {
            return Err(Cursor::not_supported("INSERT .. RETURNING"));
        }
    }
    Ok(())
}

/// Where INSERT stands in `WITH q AS (..) INSERT ..`.
pub(super) fn after_with(lexemes: &[Lexeme]) -> Option<usize> {
    let mut depth = 0_usize;
    for (idx, lexeme) in lexemes.iter().enumerate() {
        match lexeme.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            _ if lexeme.is_word("SELECT") => return None,
            _ if lexeme.is_word("INSERT") && lexemes.get(idx + 1).is_some_and(|next| next.is_one_of(&["INTO", "OVERWRITE"])) => {
                return Some(idx);
            }
            _ => {}
        }
    }
    None
}
