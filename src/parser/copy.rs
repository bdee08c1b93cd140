//! COPY .. TO a file or directory.

use super::ast::{CopyTo, OptionValue, SqlOption, Statement};
use super::cursor::{Cursor, once};
use super::lexeme::closing;
use super::{options, query, table};
use crate::error::Result;
use sqlparser::tokenizer::Token;

/// After COPY.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let source = if cursor.is_token(&Token::LParen) {
        cursor.bracketed()?.query()?
    } else {
        let start = cursor.position;
        cursor.object_name("a table name or a query in brackets")?;
        let name = &cursor.lexemes[start..cursor.position];
        // `COPY t (a, b) TO` selects columns.
        if cursor.is_token(&Token::LParen) {
            let close = closing(cursor.lexemes, cursor.position).ok_or_else(|| cursor.unexpected("column names"))?;
            let columns = &cursor.lexemes[cursor.position + 1..close];
            cursor.names_in_brackets("a column name")?;
            let place = &name[0];
            let mut lexemes = vec![place.with_word("SELECT")];
            lexemes.extend_from_slice(columns);
            lexemes.push(place.with_word("FROM"));
            lexemes.extend_from_slice(name);
            let text = format!("SELECT {} FROM {}", cursor.text_of(columns), cursor.text_of(name));
            query::parse(cursor.source, lexemes, text)?
        } else {
            query::select_all(cursor.source, name)?
        }
    };
    if cursor.is(&["FROM"]) {
        return Err(Cursor::not_supported("COPY .. FROM").hint("Use INSERT INTO t SELECT * FROM 'file.csv'."));
    }
    cursor.expect(&["TO"])?;
    if cursor.is(&["STDOUT"]) || cursor.is(&["PROGRAM"]) {
        let word = cursor.peek_word().unwrap_or_default();
        return Err(Cursor::not_supported(&format!("COPY .. TO {word}")));
    }
    let target = cursor.text("a file or directory")?;
    let mut copy = CopyTo { source, target, stored_as: None, partitioned_by: Vec::new(), options: Vec::new() };
    let mut seen = None;
    while !cursor.at_end() {
        clause(cursor, &mut copy, &mut seen)?;
    }
    Ok(Statement::CopyTo(copy))
}

fn clause(cursor: &mut Cursor<'_>, copy: &mut CopyTo, options_seen: &mut Option<()>) -> Result<()> {
    if cursor.accept(&["STORED"]) {
        cursor.expect(&["AS"])?;
        let format = table::format_name(cursor)?;
        once(&mut copy.stored_as, format, "STORED AS")
    } else if cursor.accept(&["PARTITIONED", "BY"]) || cursor.accept(&["PARTITION", "BY"]) {
        if !copy.partitioned_by.is_empty() {
            return Err(super::cursor::given_twice("PARTITIONED BY"));
        }
        copy.partitioned_by = if cursor.is_token(&Token::LParen) {
            cursor.names_in_brackets("a column name")?
        } else {
            let mut names = vec![cursor.name("a column name")?];
            while cursor.accept_token(&Token::Comma) {
                names.push(cursor.name("a column name")?);
            }
            names
        };
        Ok(())
    } else if cursor.accept(&["OPTIONS"]) || cursor.accept(&["WITH"]) || cursor.is_token(&Token::LParen) {
        once(options_seen, (), "OPTIONS or WITH")?;
        let mut given = options::list_with_flags(cursor)?;
        if let Some(format) = table::take_text(&mut given, "format") {
            once(&mut copy.stored_as, format.to_uppercase(), "FORMAT or STORED AS")?;
        }
        copy.options.extend(given);
        Ok(())
    } else if cursor.accept(&["HEADER"]) {
        copy.options.push(SqlOption { key: "header".into(), value: OptionValue::Bool(true) });
        Ok(())
    } else {
        Err(cursor.unexpected("STORED AS, PARTITIONED BY or OPTIONS"))
    }
}
