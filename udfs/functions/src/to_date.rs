//! `to_date`: the date of a timestamp or a text, with the patterns of Hive or strftime.

use crate::function::{Code, Function, Group, Scalar, instant, is_integer, is_text, over_arrays};
use crate::pattern::chrono_pattern;
use arrow::array::{Array, ArrayRef, AsArray, Date32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type};
use chrono::NaiveDate;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::Volatility;
use std::collections::HashMap;
use std::sync::Arc;

/// `to_date(value [, pattern, ..])`.
pub static TO_DATE: Function = Function {
    name: "to_date",
    aliases: &["date"],
    group: Group::Time,
    signature: "to_date(value [, pattern, ..])",
    help: "the date of a timestamp, of a text by the first pattern that fits, or of days since 1970",
    example: "SELECT to_date('31/12/2026', 'dd/MM/yyyy')",
    result: "2026-12-31",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [value] if is_text(value) => Ok(vec![DataType::Utf8]),
            [value] if is_integer(value) => Ok(vec![DataType::Int32]),
            [value] if instant(value).is_some() => Ok(vec![DataType::Date32]),
            [_, ..] if types.iter().all(is_text) => Ok(vec![DataType::Utf8; types.len()]),
            // A pattern for something that is a date already is not looked at, as in Spark.
            [value, patterns @ ..] if instant(value).is_some() && patterns.iter().all(is_text) => {
                Ok([vec![DataType::Date32], vec![DataType::Utf8; patterns.len()]].concat())
            }
            _ => Err("a date, timestamp, text or number of days, and patterns for a text".to_owned()),
        },
        returns: |_, _| Ok(DataType::Date32),
        invoke: |args| over_arrays(args, dates),
        simplify: None,
    }),
};

fn dates(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    if *arrays[0].data_type() != DataType::Utf8 {
        return Ok(cast(&arrays[0], &DataType::Date32)?);
    }
    let texts = arrays[0].as_string::<i32>();
    let patterns: Vec<_> = arrays[1..].iter().map(|array| array.as_string::<i32>()).collect();
    let mut translated: HashMap<&str, String> = HashMap::new();
    let mut dates = Vec::with_capacity(texts.len());
    for (row, text) in texts.iter().enumerate() {
        let Some(text) = text else {
            dates.push(None);
            continue;
        };
        let mut found = if patterns.is_empty() { leading_date(text) } else { None };
        for pattern in patterns.iter().filter(|patterns| patterns.is_valid(row)).map(|patterns| patterns.value(row)) {
            if !translated.contains_key(pattern) {
                translated.insert(pattern, chrono_pattern(pattern)?);
            }
            let chrono = translated.get(pattern).map_or("", String::as_str);
            // What follows the date, a time of day for example, does not matter.
            found = found.or_else(|| NaiveDate::parse_and_remainder(text.trim(), chrono).ok().map(|(date, _)| date));
        }
        match (found, patterns.as_slice()) {
            (Some(date), _) => dates.push(Some(Date32Type::from_naive_date(date))),
            (None, []) => return exec_err!("\"{text}\" is not a date"),
            (None, [pattern]) if pattern.is_valid(row) => {
                return exec_err!("\"{text}\" is not a date of the pattern \"{}\"", pattern.value(row));
            }
            (None, [_]) => dates.push(None),
            (None, _) => return exec_err!("\"{text}\" is not a date of any of the patterns"),
        }
    }
    Ok(Arc::new(Date32Array::from(dates)))
}

/// `2026-01-02`, alone or before a time.
fn leading_date(text: &str) -> Option<NaiveDate> {
    let (date, rest) = NaiveDate::parse_and_remainder(text.trim(), "%Y-%m-%d").ok()?;
    (rest.is_empty() || rest.starts_with(['T', 't', ' '])).then_some(date)
}
