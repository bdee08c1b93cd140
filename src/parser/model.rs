//! Models.

use super::ast::{AlterModel, CreateModel, Statement};
use super::cursor::Cursor;
use super::{options, table};
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

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

/// After `ALTER MODEL`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.object_name("a model name")?;
    let action = if cursor.accept(&["SET", "DEFAULT", "VERSION"]) {
        cursor.accept_token(&Token::Eq);
        let number = match cursor.peek().map(|lexeme| &lexeme.token) {
            Some(Token::Number(digits, _)) => digits.parse().ok(),
            _ => None,
        };
        let Some(version) = number else { return Err(cursor.unexpected("the number of a version")) };
        cursor.position += 1;
        AlterModel::SetDefaultVersion(version)
    } else if cursor.accept(&["RENAME", "TO"]) {
        AlterModel::Rename(cursor.object_name("a model name")?)
    } else if cursor.is(&["SET", "OPTIONS"]) {
        return Err(Cursor::not_supported("ALTER MODEL .. SET OPTIONS").hint("Train the model again with CREATE OR REPLACE MODEL."));
    } else {
        return Err(cursor.unexpected("SET DEFAULT VERSION or RENAME TO"));
    };
    Ok(Statement::AlterModel { name, action })
}

/// After `EXPORT MODEL`: `m TO 'directory'`, or BigQuery's `m OPTIONS (URI = 'directory')`.
pub(super) fn export(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.object_name("a model name")?;
    let target = if cursor.accept(&["TO"]) {
        cursor.text("a directory")?
    } else if cursor.accept(&["OPTIONS"]) {
        let given = options::list(cursor)?;
        let mut target = None;
        for option in given {
            if !option.key.eq_ignore_ascii_case("uri") {
                let what = format!("EXPORT MODEL has the unknown option \"{}\"", option.key);
                return Err(Error::unknown(Code::InvalidParameter, what, &option.key, ["uri"]));
            }
            target = option.value.as_text();
        }
        target.ok_or_else(|| Error::new(Code::InvalidParameter, "EXPORT MODEL needs the option \"uri\" with a directory"))?
    } else {
        return Err(cursor.unexpected("TO and a directory"));
    };
    Ok(Statement::ExportModel { name, target })
}
