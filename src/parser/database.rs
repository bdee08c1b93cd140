//! Databases, which are also called schemas.

use super::ast::Statement;
use super::cursor::{Cursor, once};
use crate::error::{Code, Error, Result};

/// The one catalog.
const CATALOG: &str = "weir";

/// After `CREATE DATABASE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists();
    let name = database_name(cursor)?;
    let (mut location, mut comment) = (None, None);
    loop {
        if cursor.accept(&["LOCATION"]) {
            let text = cursor.text("a location")?;
            once(&mut location, text, "LOCATION")?;
        } else if cursor.accept(&["COMMENT"]) {
            let text = cursor.text("a comment")?;
            once(&mut comment, text, "COMMENT")?;
        } else if cursor.is(&["WITH", "DBPROPERTIES"]) || cursor.is(&["MANAGEDLOCATION"]) || cursor.is(&["AUTHORIZATION"]) {
            let word = cursor.peek_word().unwrap_or_default();
            let what = if word == "WITH" { "WITH DBPROPERTIES".into() } else { word };
            return Err(Cursor::not_supported(&format!("{what} of a database")));
        } else if cursor.at_end() {
            return Ok(Statement::CreateDatabase { name, if_not_exists, location, comment });
        } else {
            return Err(cursor.unexpected("LOCATION or COMMENT"));
        }
    }
}

/// After `DROP DATABASE`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = database_name(cursor)?;
    let cascade = cursor.accept(&["CASCADE"]);
    if !cascade {
        cursor.accept(&["RESTRICT"]);
    }
    Ok(Statement::DropDatabase { name, if_exists, cascade })
}

/// After `USE`.
pub(super) fn use_database(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.peek_at(1).is_some() {
        cursor.accept_one_of(&["DATABASE", "SCHEMA"]);
    }
    let database = match cursor.accept_single_quoted() {
        Some(text) => text,
        None => database_name(cursor)?,
    };
    Ok(Statement::Use { database })
}

/// `db`, or `weir.db`.
pub(super) fn database_name(cursor: &mut Cursor<'_>) -> Result<String> {
    let mut parts = cursor.object_name("a database name")?.0;
    match parts.as_mut_slice() {
        [name] => Ok(std::mem::take(name)),
        [catalog, name] if catalog.eq_ignore_ascii_case(CATALOG) => Ok(std::mem::take(name)),
        _ => Err(Error::new(Code::InvalidStatement, format!("\"{}\" is not the name of a database", parts.join(".")))
            .hint(format!("There is one catalog, \"{CATALOG}\": write the database alone."))),
    }
}
