//! Users and secrets. No error here repeats what follows PASSWORD.

use super::ast::{Password, SecretSource, Statement};
use super::cursor::{Cursor, once};
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// After `CREATE USER`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists();
    let name = user_name(cursor)?;
    let (password, admin) = attributes(cursor)?;
    Ok(Statement::CreateUser { name, if_not_exists, password, admin: admin.unwrap_or(false) })
}

/// After `ALTER USER`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = user_name(cursor)?;
    let (password, admin) = attributes(cursor)?;
    if password.is_none() && admin.is_none() {
        return Err(cursor.unexpected("PASSWORD '..', ADMIN or NOADMIN"));
    }
    Ok(Statement::AlterUser { name, password, admin })
}

/// After `DROP USER`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = user_name(cursor)?;
    Ok(Statement::DropUser { name, if_exists })
}

fn user_name(cursor: &mut Cursor<'_>) -> Result<String> {
    match cursor.accept_single_quoted() {
        Some(text) => Ok(text),
        None => cursor.name("a user name"),
    }
}

/// `[WITH] [PASSWORD '..' | IDENTIFIED BY '..'] [ADMIN | SUPERUSER | NOADMIN | NOSUPERUSER]`.
fn attributes(cursor: &mut Cursor<'_>) -> Result<(Option<Password>, Option<bool>)> {
    let (mut password, mut admin) = (None, None);
    cursor.accept(&["WITH"]);
    loop {
        if cursor.accept(&["PASSWORD"]) || cursor.accept(&["IDENTIFIED", "BY"]) {
            cursor.accept_token(&Token::Eq);
            let Some(text) = cursor.accept_single_quoted() else {
                // Not the token itself: it may be the password without its quotes.
                let place = cursor.peek().map_or(cursor.source.end, |next| next.span.start);
                return Err(super::syntax::at(place, "expected the password in single quotes"));
            };
            once(&mut password, Password(text), "PASSWORD")?;
        } else if cursor.accept_one_of(&["ADMIN", "SUPERUSER"]) {
            once(&mut admin, true, "ADMIN")?;
        } else if cursor.accept_one_of(&["NOADMIN", "NOSUPERUSER"]) {
            once(&mut admin, false, "NOADMIN")?;
        } else if cursor.accept(&["LOGIN"]) {
            // Every user may log in.
        } else if cursor.at_end() {
            return Ok((password, admin));
        } else {
            return Err(cursor.unexpected("PASSWORD '..', ADMIN or NOADMIN"));
        }
    }
}

/// After `CREATE [OR REPLACE] SECRET`.
pub(super) fn create_secret(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    let if_not_exists = cursor.if_not_exists();
    if or_replace && if_not_exists {
        return Err(Error::new(Code::Syntax, "CREATE SECRET has both OR REPLACE and IF NOT EXISTS"));
    }
    let name = cursor.name("a secret's name")?;
    cursor.expect(&["FROM"])?;
    let source = if cursor.accept(&["ENV"]) {
        SecretSource::Env(cursor.text("the name of an environment variable")?)
    } else if cursor.accept(&["FILE"]) {
        SecretSource::File(cursor.text("a path")?)
    } else {
        return Err(cursor.unexpected("ENV 'NAME' or FILE 'path'"));
    };
    Ok(Statement::CreateSecret { name, or_replace, if_not_exists, source })
}

/// After `DROP SECRET`.
pub(super) fn drop_secret(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.if_exists();
    let name = cursor.name("a secret's name")?;
    Ok(Statement::DropSecret { name, if_exists })
}
