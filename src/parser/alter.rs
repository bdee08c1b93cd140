//! ALTER TABLE: columns, partitions, names, properties.

use super::ast::{AlterTable, PartitionValue, Statement};
use super::cursor::Cursor;
use super::{options, table};
use crate::error::{Code, Error, Result};
use sqlparser::tokenizer::Token;

/// After `ALTER TABLE`.
pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.is(&["IF", "EXISTS"]) {
        return Err(Cursor::not_supported("ALTER TABLE IF EXISTS"));
    }
    let name = cursor.object_name("a table name")?;
    let action = if cursor.accept(&["RECOVER", "PARTITIONS"]) {
        return Ok(Statement::MsckRepair { name });
    } else if cursor.accept(&["RENAME", "TO"]) {
        AlterTable::Rename(cursor.object_name("a table name")?)
    } else if cursor.accept(&["SET", "TBLPROPERTIES"]) {
        AlterTable::SetProperties(options::list(cursor)?)
    } else if cursor.accept(&["ADD"]) {
        add(cursor)?
    } else if cursor.accept(&["DROP"]) {
        drop(cursor)?
    } else {
        return Err(unknown_action(cursor));
    };
    Ok(Statement::AlterTable { name, action })
}

fn unknown_action(cursor: &Cursor<'_>) -> Error {
    const REFUSED: &[(&[&str], &str)] = &[
        (&["RENAME", "COLUMN"], "RENAME COLUMN"),
        (&["RENAME", "PARTITION"], "RENAME PARTITION"),
        (&["PARTITION"], "ALTER TABLE .. PARTITION"),
        (&["SET", "LOCATION"], "SET LOCATION"),
        (&["SET"], "this form of ALTER TABLE .. SET"),
        (&["UNSET"], "UNSET TBLPROPERTIES"),
        (&["CHANGE"], "CHANGE COLUMN"),
        (&["ALTER"], "ALTER COLUMN"),
        (&["REPLACE"], "REPLACE COLUMNS"),
        (&["OWNER"], "OWNER TO"),
    ];
    match REFUSED.iter().find(|(words, _)| cursor.is(words)) {
        Some((_, what)) => Cursor::not_supported(what),
        None => cursor.unexpected("ADD COLUMN, ADD PARTITION, DROP PARTITION, RENAME TO or SET TBLPROPERTIES"),
    }
}

fn add(cursor: &mut Cursor<'_>) -> Result<AlterTable> {
    let if_not_exists = cursor.if_not_exists();
    if cursor.is(&["PARTITION"]) {
        let mut partitions = Vec::new();
        while cursor.accept(&["PARTITION"]) {
            let values = fixed_values(cursor)?;
            let location = if cursor.accept(&["LOCATION"]) { Some(cursor.text("a location")?) } else { None };
            partitions.push((values, location));
            cursor.accept_token(&Token::Comma);
        }
        return Ok(AlterTable::AddPartitions { if_not_exists, partitions });
    }
    if cursor.is(&["CONSTRAINT"]) {
        return Err(Cursor::not_supported("ADD CONSTRAINT"));
    }
    let plural = cursor.accept(&["COLUMNS"]);
    if !plural {
        cursor.accept(&["COLUMN"]);
    }
    if if_not_exists || cursor.is(&["IF", "NOT", "EXISTS"]) {
        return Err(Cursor::not_supported("ADD COLUMN IF NOT EXISTS"));
    }
    let bracketed = cursor.is_token(&Token::LParen);
    let mut inner = if bracketed { cursor.bracketed()? } else { cursor.clone() };
    let mut columns = vec![added_column(&mut inner)?];
    while inner.accept_token(&Token::Comma) {
        // PostgreSQL repeats the words: `ADD COLUMN a INT, ADD COLUMN b INT`.
        if !bracketed && inner.accept(&["ADD"]) {
            inner.accept(&["COLUMN"]);
        }
        columns.push(added_column(&mut inner)?);
    }
    inner.expect_end()?;
    if !bracketed {
        cursor.position = inner.position;
    }
    Ok(AlterTable::AddColumns(columns))
}

fn added_column(cursor: &mut Cursor<'_>) -> Result<super::ast::ColumnDef> {
    let added = table::column(cursor)?;
    if added.is_key {
        return Err(Cursor::not_supported("PRIMARY KEY of an added column"));
    }
    if added.metadata.is_some() {
        return Err(Cursor::not_supported("METADATA of an added column"));
    }
    Ok(added.column)
}

fn drop(cursor: &mut Cursor<'_>) -> Result<AlterTable> {
    let if_exists = cursor.if_exists();
    if !cursor.is(&["PARTITION"]) {
        return Err(match cursor.peek_word().as_deref() {
            Some("COLUMN" | "COLUMNS") => Cursor::not_supported("DROP COLUMN"),
            Some("CONSTRAINT" | "PRIMARY") => Cursor::not_supported("DROP CONSTRAINT"),
            _ => cursor.unexpected("PARTITION"),
        });
    }
    let mut partitions = Vec::new();
    while cursor.accept(&["PARTITION"]) {
        partitions.push(fixed_values(cursor)?);
        cursor.accept_token(&Token::Comma);
    }
    cursor.accept(&["PURGE"]);
    Ok(AlterTable::DropPartitions { if_exists, partitions })
}

/// `(a = 1, b)` of a PARTITION clause.
pub(super) fn partition_values(cursor: &mut Cursor<'_>) -> Result<Vec<PartitionValue>> {
    let mut inner = cursor.bracketed()?;
    let mut values: Vec<PartitionValue> = Vec::new();
    loop {
        let column = inner.name("a partition column")?;
        if values.iter().any(|value| value.column.eq_ignore_ascii_case(&column)) {
            return Err(Error::new(Code::InvalidStatement, format!("partition column \"{column}\" is given twice")));
        }
        let value = if inner.accept_token(&Token::Eq) { Some(inner.expression()?) } else { None };
        values.push(PartitionValue { column, value });
        if inner.at_end() {
            return Ok(values);
        }
        if matches!(inner.peek().map(|next| &next.token), Some(Token::Lt | Token::LtEq | Token::Gt | Token::GtEq | Token::Neq)) {
            return Err(Cursor::not_supported("a comparison other than = in PARTITION"));
        }
        if !inner.accept_token(&Token::Comma) {
            return Err(inner.unexpected("\"=\", \",\" or \")\""));
        }
    }
}

/// Partition values that are all given.
fn fixed_values(cursor: &mut Cursor<'_>) -> Result<Vec<PartitionValue>> {
    let values = partition_values(cursor)?;
    match values.iter().find(|value| value.value.is_none()) {
        Some(value) => {
            let error = Error::new(Code::InvalidStatement, format!("partition column \"{}\" needs a value", value.column));
            Err(error.hint(format!("Write PARTITION ({} = '..').", value.column)))
        }
        None => Ok(values),
    }
}
