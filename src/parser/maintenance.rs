//! OPTIMIZE and VACUUM.

use super::ast::{Statement, Vacuum};
use super::cursor::{Cursor, once};
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// After OPTIMIZE: `[TABLE] t`.
pub(super) fn optimize(cursor: &mut Cursor<'_>) -> Result<Statement> {
    const REFUSED: &[&str] = &["WHERE", "ZORDER", "PARTITION", "FINAL", "FULL"];
    let name = table_name(cursor)?;
    match cursor.peek_word() {
        Some(word) if REFUSED.contains(&word.as_str()) => Err(Cursor::not_supported(&format!("OPTIMIZE .. {word}"))),
        _ => Ok(Statement::Optimize { name }),
    }
}

/// After VACUUM: `[TABLE] t [RETAIN n HOURS] [DRY RUN]`.
pub(super) fn vacuum(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = table_name(cursor)?;
    let (mut retain_hours, mut dry_run) = (None, None);
    loop {
        if cursor.accept(&["RETAIN"]) {
            let hours = hours(cursor)?;
            once(&mut retain_hours, hours, "RETAIN")?;
        } else if cursor.accept(&["DRY", "RUN"]) {
            once(&mut dry_run, true, "DRY RUN")?;
        } else if cursor.at_end() {
            return Ok(Statement::Vacuum(Vacuum { name, retain_hours, dry_run: dry_run.is_some() }));
        } else {
            return Err(cursor.unexpected("RETAIN or DRY RUN"));
        }
    }
}

/// `[TABLE] t`; a table may be called "table".
fn table_name(cursor: &mut Cursor<'_>) -> Result<super::ast::ObjectName> {
    if cursor.peek_at(1).is_some_and(|next| next.token != Token::Period) {
        cursor.accept(&["TABLE"]);
    }
    cursor.object_name("a table name")
}

/// `168 HOURS`, `1.5 HOURS`, `7 DAYS`.
fn hours(cursor: &mut Cursor<'_>) -> Result<f64> {
    /// A hundred years: longer times have no meaning and would not fit.
    const HOURS_MAX: f64 = 876_000.0;
    let Some(Token::Number(digits, _)) = cursor.peek().map(|next| &next.token) else {
        return Err(cursor.unexpected("a number of hours"));
    };
    let Ok(number) = digits.parse::<f64>() else { return Err(cursor.unexpected("a number of hours")) };
    cursor.position += 1;
    let hours = if cursor.accept_one_of(&["HOUR", "HOURS"]) {
        number
    } else if cursor.accept_one_of(&["DAY", "DAYS"]) {
        number * 24.0
    } else {
        return Err(cursor.unexpected("HOURS"));
    };
    if hours > HOURS_MAX {
        return Err(Error::new(Code::InvalidParameter, format!("RETAIN can be {HOURS_MAX} hours at most")));
    }
    Ok(hours)
}
