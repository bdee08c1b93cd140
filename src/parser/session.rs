//! SET, RESET, transactions, KILL.

use super::ast::{Show, Statement, Transaction};
use super::cursor::Cursor;
use crate::error::Result;
use sqlparser::tokenizer::Token;

/// After SET.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.at_end() {
        return Ok(Statement::Show(Show::Setting { name: None }));
    }
    if cursor.peek_at(1).is_some_and(|next| !matches!(next.token, Token::Eq | Token::Period) && !next.is_word("TO")) {
        cursor.accept_one_of(&["SESSION", "LOCAL", "GLOBAL"]);
    }
    if cursor.accept(&["CHARACTERISTICS", "AS", "TRANSACTION"]) || cursor.accept(&["TRANSACTION"]) {
        return transaction_mode(cursor);
    }
    if cursor.accept(&["TIME", "ZONE"]) {
        if cursor.is(&["LOCAL"]) {
            cursor.position += 1;
            return Ok(Statement::Set { name: "timezone".into(), value: None });
        }
        return Ok(Statement::Set { name: "timezone".into(), value: value(cursor)? });
    }
    if cursor.is(&["ROLE"]) && cursor.peek_at(1).is_none_or(|next| next.token != Token::Eq) {
        return Err(Cursor::not_supported("SET ROLE"));
    }
    if cursor.accept(&["NAMES"]) {
        return Ok(Statement::Set { name: "client_encoding".into(), value: value(cursor)? });
    }
    let name = setting_name(cursor)?;
    if cursor.at_end() {
        // Hive: `SET x` shows x.
        return Ok(Statement::Show(Show::Setting { name: Some(name) }));
    }
    if !cursor.accept_token(&Token::Eq) && !cursor.accept(&["TO"]) {
        return Err(cursor.unexpected("= or TO"));
    }
    Ok(Statement::Set { name, value: value(cursor)? })
}

/// A name with dots; `TIME ZONE` and `TRANSACTION ISOLATION LEVEL` are PostgreSQL's names in words.
pub(super) fn setting_name(cursor: &mut Cursor<'_>) -> Result<String> {
    if cursor.accept(&["TIME", "ZONE"]) {
        return Ok("timezone".into());
    }
    if cursor.accept(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        return Ok("transaction_isolation".into());
    }
    let mut name = cursor.name("the name of a setting")?;
    while cursor.accept_token(&Token::Period) {
        name.push('.');
        name.push_str(&cursor.name("the name of a setting")?);
    }
    Ok(name)
}

/// DEFAULT, one string, or whatever is written.
fn value(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    let rest = cursor.rest();
    match rest {
        [] => return Err(cursor.unexpected("a value")),
        [only] if only.is_word("DEFAULT") => {
            cursor.position += 1;
            return Ok(None);
        }
        [_] => {
            if let Some(text) = cursor.accept_text() {
                return Ok(Some(text));
            }
        }
        _ => {}
    }
    cursor.position = cursor.lexemes.len();
    Ok(Some(cursor.text_of(rest)))
}

/// `ISOLATION LEVEL SERIALIZABLE`, `READ ONLY`: accepted as PostgreSQL's settings.
fn transaction_mode(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (name, value) = if cursor.accept(&["ISOLATION", "LEVEL"]) {
        ("transaction_isolation", cursor.text_of(cursor.rest()).to_lowercase())
    } else if cursor.accept(&["READ", "ONLY"]) {
        ("transaction_read_only", "on".into())
    } else if cursor.accept(&["READ", "WRITE"]) {
        ("transaction_read_only", "off".into())
    } else {
        return Err(cursor.unexpected("ISOLATION LEVEL, READ ONLY or READ WRITE"));
    };
    cursor.position = cursor.lexemes.len();
    Ok(Statement::Set { name: name.into(), value: Some(value) })
}

/// After RESET.
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.peek_at(1).is_none() && cursor.accept(&["ALL"]) {
        return Ok(Statement::Reset { name: None });
    }
    if cursor.at_end() {
        // Spark: RESET alone resets everything.
        return Ok(Statement::Reset { name: None });
    }
    cursor.accept(&["SESSION"]);
    Ok(Statement::Reset { name: Some(setting_name(cursor)?) })
}

/// After BEGIN, START TRANSACTION, COMMIT ..: the words that may follow change nothing here.
pub(super) fn transaction(cursor: &mut Cursor<'_>, transaction: Transaction) -> Result<Statement> {
    const WORDS: &[&str] = &[
        "TRANSACTION",
        "WORK",
        "ISOLATION",
        "LEVEL",
        "READ",
        "ONLY",
        "WRITE",
        "COMMITTED",
        "UNCOMMITTED",
        "REPEATABLE",
        "SERIALIZABLE",
        "DEFERRABLE",
        "NOT",
        "AND",
        "NO",
        "CHAIN",
        "DEFERRED",
        "IMMEDIATE",
        "SNAPSHOT",
    ];
    if cursor.is(&["TO"]) {
        return Err(Cursor::not_supported("ROLLBACK TO SAVEPOINT"));
    }
    while cursor.accept_one_of(WORDS) || cursor.accept_token(&Token::Comma) {}
    Ok(Statement::Transaction(transaction))
}

/// After KILL: `[QUERY] 'id'`.
pub(super) fn kill(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.accept_one_of(&["QUERY", "CONNECTION"]);
    if let Some(id) = cursor.accept_text() {
        return Ok(Statement::KillQuery { id });
    }
    // An id without its quotes: digits and words with dashes.
    let rest = cursor.rest();
    let plain = |lexeme: &super::lexeme::Lexeme| lexeme.word().is_some() || matches!(lexeme.token, Token::Number(..) | Token::Minus);
    if rest.is_empty() || !rest.iter().all(plain) {
        return Err(cursor.unexpected("the id of a query in quotes"));
    }
    cursor.position = cursor.lexemes.len();
    Ok(Statement::KillQuery { id: cursor.text_of(rest) })
}
