//! Seconds since 1970 and dates as text, with the patterns of Hive: `unix_timestamp`, `from_unixtime`, `date_format`.

use crate::function::{Code, Function, Group, Scalar, instant, is_integer, is_text, over_arrays};
use crate::pattern::chrono_pattern;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type, TimeUnit, TimestampMicrosecondType};
use chrono::format::{Parsed, StrftimeItems, parse};
use chrono::{DateTime, Utc};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, Volatility};
use std::collections::HashMap;
use std::sync::Arc;

/// Hive's pattern when none is given.
const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// `unix_timestamp([value [, pattern]])`.
pub static UNIX_TIMESTAMP: Function = Function {
    name: "unix_timestamp",
    aliases: &[],
    group: Group::Time,
    signature: "unix_timestamp([value [, pattern]])",
    help: "whole seconds since 1970, of now or of a value; NULL for a text that does not match the pattern",
    example: "SELECT unix_timestamp('02/01/2026', 'dd/MM/yyyy')",
    result: "1767312000",
    code: Code::Scalar(&Scalar {
        // Without an argument it is the time of day.
        volatility: Volatility::Stable,
        coerce: |types| match types {
            [] => Ok(vec![]),
            [value] if is_text(value) => Ok(vec![DataType::Utf8]),
            [value] if instant(value).is_some() => Ok(vec![micros()]),
            [value, pattern] if is_text(value) && is_text(pattern) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            _ => Err("nothing, a timestamp, or a text and a pattern".to_owned()),
        },
        returns: |_, _| Ok(DataType::Int64),
        invoke: unix_timestamp,
        simplify: None,
    }),
};

/// `from_unixtime(seconds [, pattern])`.
pub static FROM_UNIXTIME: Function = Function {
    name: "from_unixtime",
    aliases: &[],
    group: Group::Time,
    signature: "from_unixtime(seconds [, pattern])",
    help: "seconds since 1970 as text, in UTC, as Hive has it; to_timestamp_seconds makes a timestamp",
    example: "SELECT from_unixtime(1767312000, 'dd.MM.yyyy HH:mm')",
    result: "02.01.2026 00:00",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [seconds] if is_integer(seconds) => Ok(vec![DataType::Int64]),
            [seconds, pattern] if is_integer(seconds) && is_text(pattern) => Ok(vec![DataType::Int64, DataType::Utf8]),
            _ => Err("a whole number of seconds and a pattern".to_owned()),
        },
        returns: text,
        invoke: |args| {
            over_arrays(args, |arrays| {
                let seconds = arrays[0].as_primitive::<Int64Type>().iter();
                format_all(seconds.map(|seconds| DateTime::from_timestamp(seconds?, 0)), arrays.get(1))
            })
        },
        simplify: None,
    }),
};

/// `date_format(value, pattern)`.
pub static DATE_FORMAT: Function = Function {
    name: "date_format",
    aliases: &[],
    group: Group::Time,
    signature: "date_format(value, pattern)",
    help: "a date or timestamp as text; the pattern is Java's (yyyy-MM-dd), or strftime's when it has a %",
    example: "SELECT date_format(TIMESTAMP '2026-03-05 16:07:08', 'dd/MM/yyyy HH:mm')",
    result: "05/03/2026 16:07",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [value, pattern] if instant(value).is_some() && is_text(pattern) => Ok(vec![micros(), DataType::Utf8]),
            _ => Err("a date or timestamp and a pattern".to_owned()),
        },
        returns: text,
        invoke: |args| {
            over_arrays(args, |arrays| {
                let micros = arrays[0].as_primitive::<TimestampMicrosecondType>().iter();
                format_all(micros.map(|micros| DateTime::from_timestamp_micros(micros?)), arrays.get(1))
            })
        },
        simplify: None,
    }),
};

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn text(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

/// The patterns of a batch, each translated once.
#[derive(Default)]
struct Patterns(HashMap<String, String>);

impl Patterns {
    fn get(&mut self, pattern: &str) -> Result<&str> {
        if !self.0.contains_key(pattern) {
            self.0.insert(pattern.to_owned(), chrono_pattern(pattern)?);
        }
        self.0.get(pattern).map(String::as_str).ok_or_else(|| exec_datafusion_err!("the date pattern \"{pattern}\" was lost"))
    }
}

/// The pattern of a row: the second argument's, or Hive's default.
fn pattern_at(patterns: Option<&ArrayRef>, row: usize) -> Option<&str> {
    match patterns {
        None => Some(DEFAULT_PATTERN),
        Some(array) => array.is_valid(row).then(|| array.as_string::<i32>().value(row)),
    }
}

fn format_all(instants: impl Iterator<Item = Option<DateTime<Utc>>>, patterns: Option<&ArrayRef>) -> Result<ArrayRef> {
    let mut translated = Patterns::default();
    let text: StringArray = instants
        .enumerate()
        .map(|(row, instant)| match (instant, pattern_at(patterns, row)) {
            (Some(instant), Some(pattern)) => Ok(Some(instant.format(translated.get(pattern)?).to_string())),
            _ => Ok(None),
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(text))
}

fn unix_timestamp(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    if args.args.is_empty() {
        return Ok(ColumnarValue::Scalar(ScalarValue::Int64(Some(Utc::now().timestamp()))));
    }
    over_arrays(args, |arrays| {
        let seconds: Int64Array = match arrays[0].data_type() {
            DataType::Utf8 => {
                let mut translated = Patterns::default();
                let texts = arrays[0].as_string::<i32>().iter().enumerate();
                texts
                    .map(|(row, text)| match (text, pattern_at(arrays.get(1), row)) {
                        (Some(text), Some(pattern)) => Ok(parse_seconds(text, translated.get(pattern)?)),
                        _ => Ok(None),
                    })
                    .collect::<Result<_>>()?
            }
            _ => {
                let micros = arrays[0].as_primitive::<TimestampMicrosecondType>().iter();
                micros.map(|micros| micros.map(|micros| micros.div_euclid(1_000_000))).collect()
            }
        };
        Ok(Arc::new(seconds))
    })
}

/// The seconds of a text; a pattern without a time of day means midnight.
fn parse_seconds(text: &str, pattern: &str) -> Option<i64> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text.trim(), StrftimeItems::new(pattern)).ok()?;
    let date = parsed.to_naive_date().ok()?;
    let time = parsed.to_naive_time().unwrap_or(chrono::NaiveTime::MIN);
    Some(date.and_time(time).and_utc().timestamp())
}
