//! CREATE, ALTER and DROP STREAMING TABLE: what a streaming table has beyond a table.

use super::ast::{AlterStream, CreateStream, CreateTable, OptionValue, SeekTarget, SqlOption, Statement, Watermark};
use super::cursor::{Cursor, once};
use super::table::{self, Modifiers};
use super::types;
use crate::error::{Code, Error, Result, nearest};
use sqlparser::ast::{BinaryOperator, DateTimeField, Expr, Value};
use sqlparser::tokenizer::Token;

/// Records that INFER looks at when SAMPLE does not say.
const SAMPLE_RECORDS: u64 = 1_000;

/// What a record says besides its payload, with the type that INCLUDE gives it.
const METADATA: &[(&str, &str)] = &[
    ("topic", "STRING"),
    ("partition", "INT"),
    ("offset", "BIGINT"),
    ("timestamp", "TIMESTAMP"),
    ("key", "BINARY"),
    ("headers", "MAP<STRING, BINARY>"),
];

/// What a streaming table has beyond a table.
#[derive(Debug, Default)]
pub(super) struct StreamParts {
    pub metadata_columns: Vec<(String, String)>,
    pub watermark: Option<Watermark>,
    pub infer_records: Option<u64>,
    format: Option<String>,
}

/// After `CREATE [OR REPLACE] STREAMING TABLE`.
pub(super) fn create(cursor: &mut Cursor<'_>, modifiers: Modifiers) -> Result<Statement> {
    let mut parts = StreamParts::default();
    let mut table = table::definition(cursor, modifiers, Some(&mut parts))?;
    if let Some(format) = parts.format {
        if table.options.iter().any(|option| option.key.eq_ignore_ascii_case("format")) {
            return Err(
                Error::new(Code::InvalidParameter, "the format is given twice").hint("Write FORMAT .. ENCODE, or the option 'format'.")
            );
        }
        table.options.push(SqlOption { key: "format".into(), value: OptionValue::Text(format) });
    }
    if parts.infer_records.is_some() && !table.columns.is_empty() {
        return Err(Error::new(Code::Syntax, "CREATE STREAMING TABLE has both columns and INFER FROM TOPIC"));
    }
    Ok(Statement::CreateStream(CreateStream {
        table,
        metadata_columns: parts.metadata_columns,
        watermark: parts.watermark,
        infer_records: parts.infer_records,
    }))
}

/// A clause that only streaming tables have; false when another one stands here.
pub(super) fn clause(cursor: &mut Cursor<'_>, table: &mut CreateTable, parts: &mut StreamParts) -> Result<bool> {
    if cursor.accept(&["INFER"]) {
        cursor.expect(&["FROM", "TOPIC"])?;
        let records = if cursor.is_token(&Token::LParen) { sample(cursor)? } else { SAMPLE_RECORDS };
        once(&mut parts.infer_records, records, "INFER FROM TOPIC")?;
    } else if cursor.accept(&["INCLUDE"]) {
        include(cursor, table, parts)?;
    } else if cursor.accept(&["FORMAT"]) {
        let format = format_and_encoding(cursor)?;
        once(&mut parts.format, format, "FORMAT")?;
    } else if cursor.is(&["ROW", "FORMAT"]) {
        return Err(Cursor::not_supported("ROW FORMAT of a streaming table").hint("Use the options 'format' and 'csv.delimiter' in WITH."));
    } else if cursor.is(&["AS"]) || super::query::begins(cursor.rest()) && !cursor.is(&["WITH"]) {
        return Err(Cursor::not_supported("CREATE STREAMING TABLE .. AS SELECT"));
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// `(SAMPLE 1000)`.
fn sample(cursor: &mut Cursor<'_>) -> Result<u64> {
    let mut inner = cursor.bracketed()?;
    inner.expect(&["SAMPLE"])?;
    let records = positive(&mut inner, "a number of records")?;
    inner.expect_end()?;
    Ok(records)
}

/// A whole number above zero.
fn positive(cursor: &mut Cursor<'_>, what: &str) -> Result<u64> {
    match cursor.peek().map(|next| &next.token) {
        Some(Token::Number(digits, _)) => match digits.parse() {
            Ok(number) if number > 0 => {
                cursor.position += 1;
                Ok(number)
            }
            _ => Err(cursor.unexpected(&format!("{what} above zero"))),
        },
        _ => Err(cursor.unexpected(what)),
    }
}

/// RisingWave's `INCLUDE offset AS k_offset`: a column with the usual type of that metadata.
fn include(cursor: &mut Cursor<'_>, table: &mut CreateTable, parts: &mut StreamParts) -> Result<()> {
    let word = cursor.peek_word().unwrap_or_default().to_lowercase();
    let word = if word == "header" { "headers" } else { word.as_str() };
    let Some((kind, type_text)) = METADATA.iter().find(|(kind, _)| *kind == word) else {
        let known: Vec<&str> = METADATA.iter().map(|(kind, _)| *kind).collect();
        return Err(cursor.unexpected(&known.join(", ")));
    };
    cursor.position += 1;
    let name = if cursor.accept(&["AS"]) { cursor.name("a column name")? } else { (*kind).to_owned() };
    parts.metadata_columns.push((name.clone(), (*kind).to_owned()));
    let data_type = types::parse_text(type_text)?;
    table.columns.push(super::ast::ColumnDef { name, data_type, type_text: (*type_text).to_owned(), nullable: true, comment: None });
    Ok(())
}

/// RisingWave's `FORMAT PLAIN ENCODE JSON`.
fn format_and_encoding(cursor: &mut Cursor<'_>) -> Result<String> {
    if !cursor.is(&["PLAIN"]) {
        return Err(match cursor.peek_word() {
            Some(word) if ["UPSERT", "DEBEZIUM", "DEBEZIUM_MONGO", "MAXWELL", "CANAL"].contains(&word.as_str()) => {
                Cursor::not_supported(&format!("FORMAT {word}"))
            }
            _ => cursor.unexpected("PLAIN"),
        });
    }
    cursor.expect(&["PLAIN", "ENCODE"])?;
    const ENCODINGS: &[(&str, &str)] = &[("JSON", "json"), ("CSV", "csv"), ("TEXT", "raw"), ("BYTES", "raw"), ("AVRO", "avro-confluent")];
    let word = cursor.peek_word().unwrap_or_default();
    match ENCODINGS.iter().find(|(encoding, _)| *encoding == word) {
        Some((_, format)) => {
            cursor.position += 1;
            Ok((*format).to_owned())
        }
        None if word == "PROTOBUF" => Err(Cursor::not_supported("ENCODE PROTOBUF")),
        None => Err(cursor.unexpected("JSON, CSV, BYTES or AVRO")),
    }
}

/// `WATERMARK FOR c AS c [- INTERVAL '10' SECOND]`.
pub(super) fn watermark(cursor: &mut Cursor<'_>, parts: &mut StreamParts) -> Result<()> {
    cursor.expect(&["WATERMARK", "FOR"])?;
    let column = cursor.name("a column name")?;
    cursor.expect(&["AS"])?;
    let place = cursor.clone();
    let expression = cursor.expression()?;
    let wrong = || {
        let error = place.unexpected(&format!("{column} - INTERVAL '..' SECOND"));
        error.hint("A watermark is the column itself, or the column minus an interval.")
    };
    let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(name) if name.value.eq_ignore_ascii_case(&column));
    let delay_ms = match &expression {
        column if is_column(column) => 0,
        Expr::BinaryOp { left, op: BinaryOperator::Minus, right } if is_column(left) => milliseconds(right).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    once(&mut parts.watermark, Watermark { column, delay_ms }, "WATERMARK")
}

/// `INTERVAL '10' SECOND`, `INTERVAL 10 SECOND`, `INTERVAL '10 seconds'`; `None` when it has no fixed length or is negative.
fn milliseconds(expr: &Expr) -> Option<i64> {
    let Expr::Interval(interval) = expr else { return None };
    let Expr::Value(value) = interval.value.as_ref() else { return None };
    let text = match &value.value {
        Value::SingleQuotedString(text) | Value::Number(text, _) => text.trim().to_lowercase(),
        _ => return None,
    };
    if interval.last_field.is_some() {
        return None;
    }
    let unit_ms = |unit: &str| match unit {
        "ms" | "millisecond" | "milliseconds" => Some(1.0),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1_000.0),
        "min" | "mins" | "minute" | "minutes" => Some(60_000.0),
        "h" | "hour" | "hours" => Some(3_600_000.0),
        "d" | "day" | "days" => Some(86_400_000.0),
        _ => None,
    };
    let (number, unit) = match &interval.leading_field {
        Some(DateTimeField::Millisecond | DateTimeField::Milliseconds) => (text.as_str(), 1.0),
        Some(field) => (text.as_str(), unit_ms(&field.to_string().to_lowercase())?),
        None => {
            let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            (&text[..split], unit_ms(text[split..].trim())?)
        }
    };
    let ms = number.trim().parse::<f64>().ok()? * unit;
    (ms >= 0.0 && ms < i64::MAX as f64).then_some(ms.round() as i64)
}

/// After `DROP STREAMING TABLE`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    match table::drop(cursor)? {
        Statement::DropTable { name, if_exists } => Ok(Statement::DropStream { name, if_exists }),
        other => Ok(other),
    }
}

/// After `ALTER STREAMING TABLE`.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    const REFUSED: &[&str] = &["SET", "ADD", "DROP", "ALTER", "UNSET", "RESET"];
    let name = cursor.object_name("a table name")?;
    let action = if cursor.accept(&["PAUSE"]) || cursor.accept(&["SUSPEND"]) {
        AlterStream::Pause
    } else if cursor.accept(&["RESUME"]) {
        AlterStream::Resume
    } else if cursor.accept(&["SEEK"]) {
        cursor.expect(&["TO"])?;
        AlterStream::Seek(seek_target(cursor)?)
    } else if cursor.accept(&["RENAME", "TO"]) {
        AlterStream::Rename(cursor.object_name("a table name")?)
    } else {
        let word = cursor.peek_word().unwrap_or_default();
        if REFUSED.contains(&word.as_str()) {
            return Err(Cursor::not_supported(&format!("ALTER STREAMING TABLE .. {word}")).hint("Drop the table and create it again."));
        }
        return Err(unknown(cursor, &["PAUSE", "RESUME", "SEEK", "RENAME"], "PAUSE, RESUME, SEEK TO or RENAME TO"));
    };
    Ok(Statement::AlterStream { name, action })
}

fn unknown(cursor: &Cursor<'_>, words: &[&'static str], expected: &str) -> Error {
    let error = cursor.unexpected(expected);
    match cursor.peek_word().and_then(|word| nearest(&word, words.iter().copied())) {
        Some(near) => error.hint(format!("Did you mean {near}?")),
        None => error,
    }
}

fn seek_target(cursor: &mut Cursor<'_>) -> Result<SeekTarget> {
    if cursor.accept(&["EARLIEST"]) {
        Ok(SeekTarget::Earliest)
    } else if cursor.accept(&["LATEST"]) {
        Ok(SeekTarget::Latest)
    } else if cursor.accept(&["TIMESTAMP"]) {
        cursor.text("a timestamp").map(SeekTarget::Timestamp)
    } else if cursor.accept(&["OFFSETS"]) {
        let mut inner = cursor.bracketed()?;
        let place = inner.clone();
        let text = inner.text("'partition:offset, ..'")?;
        inner.expect_end()?;
        match offsets(&text) {
            Some(offsets) => Ok(SeekTarget::Offsets(offsets)),
            None => Err(place.unexpected("'partition:offset, ..'").hint("Write SEEK TO OFFSETS ('0:42,1:300').")),
        }
    } else {
        Err(unknown(cursor, &["EARLIEST", "LATEST", "TIMESTAMP", "OFFSETS"], "EARLIEST, LATEST, TIMESTAMP '..' or OFFSETS ('..')"))
    }
}

/// `0:42,1:300`; `None` when it is anything else, or names a partition twice.
fn offsets(text: &str) -> Option<Vec<(i32, i64)>> {
    let mut offsets: Vec<(i32, i64)> = Vec::new();
    for pair in text.split([',', ';']) {
        let (partition, offset) = pair.split_once(':')?;
        let (partition, offset) = (partition.trim().parse::<i32>().ok()?, offset.trim().parse::<i64>().ok()?);
        if partition < 0 || offset < 0 || offsets.iter().any(|(known, _)| *known == partition) {
            return None;
        }
        offsets.push((partition, offset));
    }
    Some(offsets)
}
