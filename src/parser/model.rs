//! Models.

use super::ast::{CreateModel, Statement};
use super::cursor::Cursor;
use super::{options, table};
use crate::error::{Code, Error, Result};

/// After `CREATE [OR REPLACE] MODEL`.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists();
    if or_replace && if_not_exists {
        return Err(Error::new(Code::Syntax, "CREATE MODEL has both OR REPLACE and IF NOT EXISTS"));
    }
    let name = cursor.object_name("a model name")?;
    let mut model = CreateModel { name, or_replace, if_not_exists, options: Vec::new(), query: None };
    let mut options = None;
    while !cursor.at_end() {
        if cursor.accept(&["OPTIONS"]) || (cursor.accept(&["WITH"])) {
            let given = options::list(cursor)?;
            super::cursor::once(&mut options, given, "OPTIONS")?;
        } else if cursor.is(&["TRANSFORM"]) || cursor.is(&["REMOTE"]) || cursor.is(&["INPUT"]) {
            let word = cursor.peek_word().unwrap_or_default();
            return Err(Cursor::not_supported(&format!("{word} of a model")).hint("Compute the features in the query after AS."));
        } else if cursor.accept(&["AS"]) {
            model.query = Some(cursor.query()?);
        } else {
            return Err(cursor.unexpected("OPTIONS (..) or AS and a query"));
        }
    }
    model.options = options.unwrap_or_default();
    Ok(Statement::CreateModel(model))
}

/// After `DROP MODEL`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = table::dropped_name(cursor, "a model name")?;
    Ok(Statement::DropModel { name, if_exists })
}
