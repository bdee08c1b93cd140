//! Views.

use super::ast::Statement;
use super::cursor::{Cursor, once};
use super::table;
use crate::error::{Code, Error, Result};

/// After `CREATE [OR REPLACE] VIEW`.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists();
    if or_replace && if_not_exists {
        return Err(Error::new(Code::Syntax, "CREATE VIEW has both OR REPLACE and IF NOT EXISTS"));
    }
    let name = cursor.object_name("a view name")?;
    let columns = if cursor.is(&["AS"]) || cursor.is(&["COMMENT"]) || !cursor.is_token(&sqlparser::tokenizer::Token::LParen) {
        Vec::new()
    } else {
        cursor.list(|cursor| {
            let name = cursor.name("a column name")?;
            if cursor.is(&["COMMENT"]) {
                return Err(Cursor::not_supported("COMMENT on a column of a view"));
            }
            Ok(name)
        })?
    };
    let mut comment = None;
    loop {
        if cursor.accept(&["COMMENT"]) {
            let text = cursor.text("a comment")?;
            once(&mut comment, text, "COMMENT")?;
        } else if cursor.accept(&["AS"]) {
            break;
        } else if let Some(word @ ("TBLPROPERTIES" | "WITH" | "OPTIONS")) = cursor.peek_word().as_deref() {
            return Err(Cursor::not_supported(&format!("{word} of a view")));
        } else {
            return Err(cursor.unexpected("AS and a query"));
        }
    }
    let query = cursor.query()?;
    if query.n_parameters > 0 {
        return Err(Error::new(Code::InvalidStatement, "a view cannot have parameters"));
    }
    Ok(Statement::CreateView { name, or_replace, if_not_exists, columns, comment, query })
}

/// After `DROP VIEW`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = table::dropped_name(cursor, "a view name")?;
    cursor.accept_one_of(&["CASCADE", "RESTRICT"]);
    Ok(Statement::DropView { name, if_exists })
}
