//! SHOW and DESCRIBE, in the spellings of Hive, PostgreSQL and MySQL.

use super::ast::{DescribeTarget, ObjectName, Show, Statement};
use super::cursor::Cursor;
use super::{database, query, session};
use crate::error::Result;
use sqlparser::tokenizer::Token;

/// What SHOW lists in later versions.
const LATER: &[&str] = &[
    "TASKS",
    "GRANTS",
    "ROLES",
    "CONNECTIONS",
    "SINKS",
    "POLICIES",
    "MATERIALIZED",
    "INDEX",
    "INDEXES",
    "KEYS",
    "TRIGGERS",
    "LOCKS",
    "TRANSACTIONS",
];

/// After SHOW.
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let word = cursor.peek_word().unwrap_or_default();
    // `SHOW tables` lists; `SHOW tables.x` is a setting.
    let dotted = cursor.peek_at(1).is_some_and(|next| next.token == Token::Period);
    let show = match word.as_str() {
        _ if dotted => setting(cursor)?,
        "DATABASES" | "SCHEMAS" => Show::Databases { like: listed(cursor)? },
        "TABLES" => {
            cursor.position += 1;
            Show::Tables { database: in_database(cursor)?, like: like(cursor)? }
        }
        "VIEWS" => {
            cursor.position += 1;
            Show::Views { database: in_database(cursor)?, like: like(cursor)? }
        }
        "MODELS" => Show::Models { like: listed(cursor)? },
        "STREAMS" => Show::Streams { like: listed(cursor)? },
        "STREAMING" if cursor.accept(&["STREAMING", "TABLES"]) => Show::Streams { like: like(cursor)? },
        "FUNCTIONS" => Show::Functions { like: listed(cursor)? },
        "COLUMNS" | "FIELDS" => columns(cursor)?,
        "PARTITIONS" => {
            cursor.position += 1;
            let table = cursor.object_name("a table name")?;
            if cursor.is(&["PARTITION"]) {
                return Err(Cursor::not_supported("SHOW PARTITIONS .. PARTITION"));
            }
            Show::Partitions { table }
        }
        "TBLPROPERTIES" => {
            cursor.position += 1;
            Show::TblProperties { name: cursor.object_name("a table name")? }
        }
        "CREATE" => create(cursor)?,
        "USERS" if only(cursor) => Show::Users,
        "SECRETS" if only(cursor) => Show::Secrets,
        "PROCESSLIST" | "QUERIES" if only(cursor) => Show::ProcessList,
        "FULL" if cursor.accept(&["FULL", "PROCESSLIST"]) => Show::ProcessList,
        "ALL" | "SETTINGS" | "VARIABLES" if only(cursor) => Show::Setting { name: None },
        "" => return Err(cursor.unexpected("TABLES, DATABASES, MODELS or the name of a setting")),
        later if LATER.contains(&later) => return Err(Cursor::not_supported(&format!("SHOW {later}"))),
        _ => setting(cursor)?,
    };
    Ok(Statement::Show(show))
}

/// Reads a word that must be the last one.
fn only(cursor: &mut Cursor<'_>) -> bool {
    let last = cursor.peek_at(1).is_none();
    cursor.position += usize::from(last);
    last
}

/// Reads the word and an optional pattern.
fn listed(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    cursor.position += 1;
    like(cursor)
}

/// `[LIKE] 'pattern'`.
fn like(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept(&["LIKE"]) {
        return cursor.text("a pattern").map(Some);
    }
    if cursor.is(&["WHERE"]) || cursor.is(&["ILIKE"]) {
        return Err(Cursor::not_supported("SHOW .. WHERE").hint("Query information_schema instead."));
    }
    Ok(cursor.accept_text())
}

fn in_database(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept_one_of(&["IN", "FROM"]) { database::database_name(cursor).map(Some) } else { Ok(None) }
}

/// `COLUMNS IN t [IN db]`.
fn columns(cursor: &mut Cursor<'_>) -> Result<Show> {
    cursor.position += 1;
    if !cursor.accept_one_of(&["IN", "FROM"]) {
        return Err(cursor.unexpected("IN and a table name"));
    }
    let mut table = cursor.object_name("a table name")?;
    if let Some(database) = in_database(cursor)? {
        if table.0.len() > 1 {
            return Err(cursor.unexpected("one database name"));
        }
        table = ObjectName(vec![database, table.0.swap_remove(0)]);
    }
    Ok(Show::Columns { table })
}

fn create(cursor: &mut Cursor<'_>) -> Result<Show> {
    cursor.position += 1;
    if cursor.accept(&["VIEW"]) {
        return Ok(Show::CreateView { name: cursor.object_name("a view name")? });
    }
    if cursor.accept(&["TABLE"]) || cursor.accept(&["STREAMING", "TABLE"]) {
        return Ok(Show::CreateTable { name: cursor.object_name("a table name")? });
    }
    match cursor.peek_word() {
        Some(word) => Err(Cursor::not_supported(&format!("SHOW CREATE {word}"))),
        None => Err(cursor.unexpected("TABLE or VIEW")),
    }
}

fn setting(cursor: &mut Cursor<'_>) -> Result<Show> {
    Ok(Show::Setting { name: Some(session::setting_name(cursor)?) })
}

/// After DESCRIBE or DESC.
pub(super) fn describe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    // Each of these words may be a table's name: it is one when nothing follows.
    let more = |cursor: &Cursor<'_>| cursor.peek_at(1).is_some_and(|next| next.token != Token::Period);
    let mut formatted = false;
    if more(cursor) {
        formatted = cursor.accept_one_of(&["FORMATTED", "EXTENDED"]);
    }
    let target = if more(cursor) && cursor.accept(&["MODEL"]) {
        DescribeTarget::Model(cursor.object_name("a model name")?)
    } else if more(cursor) && cursor.accept_one_of(&["DATABASE", "SCHEMA"]) {
        formatted |= more(cursor) && cursor.accept(&["EXTENDED"]);
        DescribeTarget::Database(database::database_name(cursor)?)
    } else if more(cursor) && cursor.is(&["FUNCTION"]) {
        return Err(Cursor::not_supported("DESCRIBE FUNCTION").hint("SHOW FUNCTIONS LIKE 'name' lists functions."));
    } else if (more(cursor) && (cursor.accept(&["QUERY"]) || begins_query(cursor))) || cursor.is_token(&Token::LParen) {
        DescribeTarget::Query(cursor.query()?)
    } else if cursor.peek().is_some_and(|next| matches!(next.token, Token::SingleQuotedString(_))) {
        let file = cursor.rest();
        cursor.position += 1;
        DescribeTarget::Query(query::select_all(cursor.source, &file[..1])?)
    } else {
        if more(cursor) && cursor.accept(&["TABLE"]) {
            formatted |= more(cursor) && cursor.accept_one_of(&["FORMATTED", "EXTENDED"]);
        }
        DescribeTarget::Object(cursor.object_name("a table name")?)
    };
    if !cursor.at_end() && matches!(target, DescribeTarget::Object(_)) && cursor.peek().is_some_and(|next| next.word().is_some()) {
        return Err(Cursor::not_supported("DESCRIBE of one column or partition"));
    }
    Ok(Statement::Describe { target, formatted })
}

/// Whether a query stands here; `DESCRIBE TABLE t` describes the table.
fn begins_query(cursor: &Cursor<'_>) -> bool {
    query::begins(cursor.rest()) && !cursor.is(&["TABLE"])
}
