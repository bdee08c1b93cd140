//! The first words decide: one branch per statement family, and the statements of later versions by name.

use super::ast::{Explain, Statement, Transaction};
use super::cursor::Cursor;
use super::lexeme::Lexeme;
use super::syntax::{self, Source};
use super::table::Modifiers;
use super::{
    alter, copy, database, delete, dialect, insert, limits, maintenance, model, query, session, show, stack, stream, table, user, view,
};
use crate::error::{Code, Error, Result, nearest};
use sqlparser::tokenizer::Token;

/// Parses the tokens of one statement.
pub(super) fn parse(sql: &str, lexemes: &[Lexeme]) -> Result<Statement> {
    let levels = limits::check_statement(lexemes)?;
    stack::with_room(levels, || parse_checked(sql, lexemes))
}

fn parse_checked(sql: &str, lexemes: &[Lexeme]) -> Result<Statement> {
    let mut source = Source::new(sql, lexemes);
    let (lexemes, n_parameters) = dialect::rewrite(source, lexemes)?;
    source.n_parameters = n_parameters;
    let mut cursor = Cursor::new(source, &lexemes);
    let parsed = statement(&mut cursor)?;
    cursor.expect_end()?;
    Ok(parsed)
}

fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let Some(first) = cursor.peek() else {
        return Err(cursor.unexpected("a statement"));
    };
    if first.token == Token::LParen {
        return cursor.query().map(Statement::Query);
    }
    let Some(word) = cursor.peek_word() else {
        return Err(cursor.unexpected("a statement"));
    };
    if word == "WITH"
        && let Some(idx) = insert::after_with(cursor.rest())
    {
        let with = &cursor.rest()[..idx];
        cursor.position += idx + 1;
        return insert::parse(cursor, with);
    }
    if query::QUERY_WORDS.contains(&word.as_str()) {
        return cursor.query().map(Statement::Query);
    }
    cursor.position += 1;
    match word.as_str() {
        "CREATE" => create(cursor),
        "DROP" => drop(cursor),
        "ALTER" => alter_object(cursor),
        "INSERT" => insert::parse(cursor, &[]),
        "DELETE" => delete::delete(cursor),
        "UPDATE" => delete::update(cursor),
        "TRUNCATE" => delete::truncate(cursor),
        "OPTIMIZE" => maintenance::optimize(cursor),
        "VACUUM" => maintenance::vacuum(cursor),
        "COPY" => copy::parse(cursor),
        "EXPLAIN" => explain(cursor),
        "SHOW" => show::show(cursor),
        "DESCRIBE" | "DESC" => show::describe(cursor),
        "USE" => database::use_database(cursor),
        "SET" => session::set(cursor),
        "RESET" => session::reset(cursor),
        "DISCARD" => {
            cursor.expect(&["ALL"])?;
            Ok(Statement::Reset { name: None })
        }
        "BEGIN" => session::transaction(cursor, Transaction::Begin),
        "START" => {
            cursor.expect(&["TRANSACTION"])?;
            session::transaction(cursor, Transaction::Begin)
        }
        "COMMIT" | "END" => session::transaction(cursor, Transaction::Commit),
        "ROLLBACK" | "ABORT" => session::transaction(cursor, Transaction::Rollback),
        "KILL" => session::kill(cursor),
        "EXPORT" if cursor.accept(&["MODEL"]) => model::export(cursor),
        "MSCK" => msck(cursor),
        "REFRESH" => refresh(cursor),
        "ANALYZE" => analyze(cursor),
        _ => {
            cursor.position -= 1;
            Err(unknown_statement(cursor, &word))
        }
    }
}

/// First words of statements that we know.
const FIRST_WORDS: &[&str] = &[
    "SELECT", "WITH", "VALUES", "TABLE", "FROM", "CREATE", "DROP", "ALTER", "INSERT", "COPY", "EXPLAIN", "SHOW", "DESCRIBE", "USE", "SET",
    "RESET", "DISCARD", "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "KILL", "MSCK", "REFRESH", "ANALYZE", "DELETE", "UPDATE",
    "MERGE", "TRUNCATE", "OPTIMIZE", "VACUUM", "GRANT", "REVOKE", "EXECUTE", "EXPORT",
];

/// Statements that later versions have, or that other systems have: understood, not done.
const LATER: &[&[&str]] = &[
    &["MERGE"],
    &["REPLACE"],
    &["GRANT"],
    &["REVOKE"],
    &["EXECUTE", "TASK"],
    &["EXECUTE"],
    &["EXPORT"],
    &["IMPORT"],
    &["PREPARE"],
    &["DEALLOCATE"],
    &["CALL"],
    &["LOAD"],
    &["CACHE"],
    &["UNCACHE"],
    &["LOCK"],
    &["UNLOCK"],
    &["SAVEPOINT"],
    &["RELEASE"],
    &["DECLARE"],
    &["FETCH"],
    &["CLOSE"],
    &["COMMENT", "ON"],
    &["LISTEN"],
    &["NOTIFY"],
    &["ATTACH"],
    &["DETACH"],
    &["PRAGMA"],
    &["UNDROP"],
];

fn unknown_statement(cursor: &Cursor<'_>, word: &str) -> Error {
    if let Some(words) = LATER.iter().find(|words| cursor.is(words)) {
        return Cursor::not_supported(&words.join(" "));
    }
    let error = cursor.unexpected("a statement");
    match nearest(word, FIRST_WORDS.iter().copied()) {
        Some(near) => error.hint(format!("Did you mean {near}?")),
        None => error,
    }
}

/// Kinds of objects, for CREATE, DROP and ALTER; `true`: we have it.
const KINDS: &[(&[&str], bool)] = &[
    (&["TABLE"], true),
    (&["VIEW"], true),
    (&["DATABASE"], true),
    (&["SCHEMA"], true),
    (&["MODEL"], true),
    (&["USER"], true),
    (&["SECRET"], true),
    (&["EXTERNAL", "TABLE"], true),
    (&["STREAMING", "TABLE"], true),
    (&["STREAM"], false),
    (&["MATERIALIZED", "VIEW"], false),
    (&["SINK"], false),
    (&["SOURCE"], false),
    (&["CONNECTION"], false),
    (&["TASK"], false),
    (&["ROLE"], false),
    (&["GROUP"], false),
    (&["POLICY"], false),
    (&["FUNCTION"], false),
    (&["AGGREGATE"], false),
    (&["PROCEDURE"], false),
    (&["MACRO"], false),
    (&["INDEX"], false),
    (&["UNIQUE", "INDEX"], false),
    (&["SEQUENCE"], false),
    (&["TRIGGER"], false),
    (&["TYPE"], false),
    (&["DOMAIN"], false),
    (&["EXTENSION"], false),
    (&["CATALOG"], false),
    (&["SERVER"], false),
];

/// An object that cannot be created, dropped or altered: of a later version, or misspelt.
fn unknown_kind(cursor: &Cursor<'_>, verb: &str) -> Error {
    if let Some((words, _)) = KINDS.iter().find(|(words, _)| cursor.is(words)) {
        return Cursor::not_supported(&format!("{verb} {}", words.join(" ")));
    }
    let error = cursor.unexpected("TABLE, VIEW, DATABASE, MODEL, USER or SECRET");
    let word = cursor.peek_word().unwrap_or_default();
    match nearest(&word, KINDS.iter().filter_map(|(words, _)| words.first().copied())) {
        Some(near) => error.hint(format!("Did you mean {verb} {near}?")),
        None => error,
    }
}

fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let start = cursor.position;
    let or_replace = cursor.accept(&["OR", "REPLACE"]);
    let mut modifiers = Modifiers { or_replace, ..Modifiers::default() };
    loop {
        if cursor.is(&["EXTERNAL"]) && !modifiers.external {
            modifiers.external = true;
        } else if cursor.peek().is_some_and(|next| next.is_one_of(&["TEMPORARY", "TEMP"])) && !modifiers.temporary {
            modifiers.temporary = true;
        } else if !cursor.is(&["MANAGED", "TABLE"]) {
            break;
        }
        cursor.position += 1;
    }
    if modifiers.external && !cursor.is(&["TABLE"]) {
        return Err(cursor.unexpected("TABLE"));
    }
    if modifiers.temporary && cursor.is(&["VIEW"]) {
        return Err(Cursor::not_supported("CREATE TEMPORARY VIEW").hint("Use WITH, or CREATE OR REPLACE VIEW."));
    }
    if cursor.is(&["STREAMING", "TABLE"]) && !modifiers.temporary {
        cursor.position += 2;
        return stream::create(cursor, modifiers);
    }
    let kind = cursor.peek_word().unwrap_or_default();
    let is_known = match kind.as_str() {
        "TABLE" => true,
        "VIEW" | "MODEL" | "SECRET" => !modifiers.temporary,
        _ => !or_replace && !modifiers.temporary,
    };
    if !is_known && KINDS.iter().any(|(words, ours)| *ours && cursor.is(words)) {
        let words = &cursor.lexemes[start..=cursor.position];
        return Err(Cursor::not_supported(&format!("CREATE {}", cursor.text_of(words).to_ascii_uppercase())));
    }
    cursor.position += 1;
    match kind.as_str() {
        "TABLE" => table::create(cursor, modifiers),
        "VIEW" => view::create(cursor, or_replace),
        "DATABASE" | "SCHEMA" => database::create(cursor),
        "MODEL" => model::create(cursor, or_replace),
        "USER" => user::create(cursor),
        "SECRET" => user::create_secret(cursor, or_replace),
        _ => {
            cursor.position -= 1;
            Err(unknown_kind(cursor, "CREATE"))
        }
    }
}

fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let kind = cursor.peek_word().unwrap_or_default();
    cursor.position += 1;
    match kind.as_str() {
        "EXTERNAL" if cursor.accept(&["TABLE"]) => table::drop(cursor),
        "STREAMING" if cursor.accept(&["TABLE"]) => stream::drop(cursor),
        "TABLE" => table::drop(cursor),
        "VIEW" => view::drop(cursor),
        "DATABASE" | "SCHEMA" => database::drop(cursor),
        "MODEL" => model::drop(cursor),
        "USER" => user::drop(cursor),
        "SECRET" => user::drop_secret(cursor),
        _ => {
            cursor.position -= 1;
            Err(unknown_kind(cursor, "DROP"))
        }
    }
}

fn alter_object(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.accept(&["TABLE"]) || cursor.accept(&["EXTERNAL", "TABLE"]) {
        return alter::parse(cursor);
    }
    if cursor.accept(&["STREAMING", "TABLE"]) {
        return stream::alter(cursor);
    }
    if cursor.accept(&["USER"]) {
        return user::alter(cursor);
    }
    if cursor.accept(&["MODEL"]) {
        return model::alter(cursor);
    }
    let error = unknown_kind(cursor, "ALTER");
    Err(if cursor.is(&["VIEW"]) { error.hint("Use CREATE OR REPLACE VIEW.") } else { error })
}

/// After EXPLAIN: words or a list in brackets, then a statement.
fn explain(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let (mut analyze, mut verbose) = (false, false);
    if cursor.is_token(&Token::LParen) && !query::begins(&cursor.rest()[1..]) {
        for option in super::options::list_with_flags(cursor)? {
            let on = !matches!(option.value.as_text().as_deref(), Some("false" | "off" | "0" | "OFF"));
            match option.key.to_ascii_uppercase().as_str() {
                "ANALYZE" => analyze = on,
                "VERBOSE" => verbose = on,
                "FORMAT" if option.value.as_text().is_some_and(|format| format.eq_ignore_ascii_case("text")) => {}
                // Settings of PostgreSQL that change only what is printed.
                "COSTS" | "BUFFERS" | "TIMING" | "SUMMARY" | "SETTINGS" | "WAL" => {}
                key => return Err(Cursor::not_supported(&format!("EXPLAIN ({key})"))),
            }
        }
    } else {
        loop {
            if cursor.accept(&["ANALYZE"]) || cursor.accept(&["ANALYSE"]) {
                analyze = true;
            } else if cursor.accept_one_of(&["VERBOSE", "EXTENDED"]) {
                verbose = true;
            } else if cursor.is(&["FORMAT"]) || cursor.is(&["FORMATTED"]) || cursor.is(&["CODEGEN"]) || cursor.is(&["COST"]) {
                let word = cursor.peek_word().unwrap_or_default();
                return Err(Cursor::not_supported(&format!("EXPLAIN {word}")));
            } else if !cursor.accept(&["PLAN", "FOR"]) {
                break;
            }
        }
    }
    if cursor.is(&["EXPLAIN"]) {
        return Err(cursor.unexpected("a statement to explain"));
    }
    let statement = Box::new(statement(cursor)?);
    Ok(Statement::Explain(Explain { analyze, verbose, statement }))
}

/// After MSCK: `[REPAIR] TABLE t [ADD | DROP | SYNC PARTITIONS]`.
fn msck(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.accept(&["REPAIR"]);
    cursor.expect(&["TABLE"])?;
    let name = cursor.object_name("a table name")?;
    if cursor.accept_one_of(&["ADD", "DROP", "SYNC"]) {
        cursor.expect(&["PARTITIONS"])?;
    }
    Ok(Statement::MsckRepair { name })
}

/// After REFRESH: `[TABLE] t`.
fn refresh(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.is(&["MATERIALIZED", "VIEW"]) || cursor.is(&["FUNCTION"]) {
        return Err(unknown_kind(cursor, "REFRESH"));
    }
    cursor.accept(&["TABLE"]);
    Ok(Statement::RefreshTable { name: cursor.object_name("a table name")? })
}

/// After ANALYZE: `[TABLE] t [COMPUTE STATISTICS [FOR COLUMNS .. | NOSCAN]]`.
fn analyze(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.accept(&["TABLE"]);
    let name = cursor.object_name("a table name")?;
    if cursor.is(&["PARTITION"]) {
        return Err(Cursor::not_supported("ANALYZE TABLE .. PARTITION"));
    }
    if cursor.accept(&["COMPUTE", "STATISTICS"])
        && !cursor.accept(&["NOSCAN"])
        && cursor.accept(&["FOR"])
        && !cursor.accept(&["ALL", "COLUMNS"])
    {
        cursor.expect(&["COLUMNS"])?;
        while !cursor.at_end() {
            cursor.name("a column name")?;
            if !cursor.at_end() {
                cursor.expect_token(&Token::Comma)?;
            }
        }
    }
    Ok(Statement::AnalyzeTable { name })
}

/// Texts that hold no statement where one is needed.
pub(super) fn none_found() -> Error {
    Error::new(Code::Syntax, "the text holds no statement")
}

/// Texts that hold several statements where one is needed.
pub(super) fn several_found(second: &Lexeme) -> Error {
    syntax::at(second.span.start, "a second statement begins here, expected one")
}
