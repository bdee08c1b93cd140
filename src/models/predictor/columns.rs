//! Columns of a query as numbers and texts: found by name, of any type that can be read as such.

use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema, TimeUnit};
use std::sync::Arc;

/// Whether values of a type are read as numbers without parsing text.
pub(super) fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        DataType::RunEndEncoded(_, values) => is_number(values.data_type()),
        DataType::Null | DataType::Boolean | DataType::Date32 | DataType::Date64 => true,
        DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => true,
        other => other.is_numeric(),
    }
}

const SECONDS_PER_DAY: f64 = 86_400.0;

/// Whether values of a type are text.
pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        other => matches!(other, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
    }
}

/// The place of a column: its exact name, else its name without regard to case. `what` says who asks, for
/// example `model "churn"`.
///
/// # Errors
/// `UndefinedColumn` with "did you mean", `InvalidStatement` when two columns match.
pub(in crate::models) fn find(what: &str, name: &str, schema: &Schema) -> Result<usize> {
    let fields = schema.fields();
    if let Some(place) = fields.iter().position(|field| field.name() == name) {
        return Ok(place);
    }
    let lower = name.to_lowercase();
    let mut matching = fields.iter().enumerate().filter(|(_, field)| field.name().to_lowercase() == lower).map(|(place, _)| place);
    match (matching.next(), matching.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => {
            let error = Error::new(Code::InvalidStatement, format!("column \"{name}\" of {what} is ambiguous"));
            Err(error.detail(format!("The columns are {}.", names(schema))))
        }
        (None, _) => {
            let known = fields.iter().map(|field| field.name().as_str());
            let error = Error::unknown(Code::UndefinedColumn, format!("the query for {what} has no column \"{name}\""), name, known);
            Err(error.detail(format!("Its columns are {}.", names(schema))))
        }
    }
}

/// The columns of a query, for messages; long lists are cut.
fn names(schema: &Schema) -> String {
    const SHOWN_MAX: usize = 40;
    let mut names: Vec<String> = schema.fields().iter().take(SHOWN_MAX).map(|field| format!("\"{}\"", field.name())).collect();
    if schema.fields().len() > SHOWN_MAX {
        names.push(format!("{} more", schema.fields().len() - SHOWN_MAX));
    }
    names.join(", ")
}

/// The error for a column whose type cannot be read; `expected` completes "it must be ..".
pub(super) fn wrong_type(what: &str, field: &Field, expected: &str) -> Error {
    let is = format!("column \"{}\" of the query for {what} is of type {}, it must be {expected}", field.name(), field.data_type());
    Error::new(Code::InvalidStatement, is)
}

/// The error for a value; `row` counts from 1.
pub(super) fn wrong_value(column: &str, row: u64, is: &str) -> Error {
    Error::new(Code::InvalidValue, format!("column \"{column}\" is {is} in row {row} of the query"))
}

/// Appends the values as numbers: booleans are 0 and 1, dates and timestamps days since 1970 (UTC) with their fraction, so
/// that a model of the one can be asked with the other, times and durations seconds, text is parsed (blank text is missing). Missing values are NaN.
///
/// `column` and `first_row` (of the first value, from 1) are for messages.
///
/// # Errors
/// `InvalidValue` with the row for an infinite value and for text that is no number.
pub(in crate::models) fn numbers(array: &ArrayRef, column: &str, first_row: u64, values: &mut Vec<f64>) -> Result<()> {
    let wrong = |row: usize, is: &str| wrong_value(column, first_row + row as u64, is);
    let begin = values.len();
    match array.data_type() {
        DataType::Float64 => append(array.as_primitive::<Float64Type>(), 1.0, values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = texts(array)?;
            for (row, text) in texts.iter().enumerate() {
                values.push(match text.map(number_of) {
                    None => f64::NAN,
                    Some(Some(number)) => number,
                    Some(None) => {
                        let error = wrong(row, &format!("'{}'", shortened(text.unwrap_or_default())));
                        return Err(error.detail("The model was trained on numbers in this column."));
                    }
                });
            }
        }
        DataType::Dictionary(_, of) => return numbers(&converted(array, of)?, column, first_row, values),
        DataType::RunEndEncoded(_, of) => return numbers(&converted(array, of.data_type())?, column, first_row, values),
        DataType::Null => values.resize(begin + array.len(), f64::NAN),
        DataType::Date32 => append(&floats(&converted(array, &DataType::Int32)?)?, 1.0, values),
        DataType::Date64 => append(&floats(&converted(array, &DataType::Int64)?)?, SECONDS_PER_DAY * 1e3, values),
        DataType::Timestamp(unit, _) => append(&floats(&converted(array, &DataType::Int64)?)?, SECONDS_PER_DAY * per_second(*unit), values),
        DataType::Time64(unit) | DataType::Duration(unit) => {
            append(&floats(&converted(array, &DataType::Int64)?)?, per_second(*unit), values);
        }
        DataType::Time32(unit) => append(&floats(&converted(array, &DataType::Int32)?)?, per_second(*unit), values),
        _ => append(&floats(array)?, 1.0, values),
    }
    match values[begin..].iter().position(|value| value.is_infinite()) {
        Some(row) => Err(wrong(row, "infinite").hint("Leave such rows out, or make the value NULL.")),
        None => Ok(()),
    }
}

/// The values as text, whatever their type; NULL stays NULL.
///
/// # Errors
/// `InvalidStatement` for a type that has no text.
pub(in crate::models) fn texts(array: &ArrayRef) -> Result<StringArray> {
    Ok(converted(array, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Calls `each` with every value as text, in order.
///
/// # Errors
/// As [`texts`].
pub(super) fn for_each_text(array: &ArrayRef, each: impl FnMut(Option<&str>)) -> Result<()> {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().iter().for_each(each),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().for_each(each),
        _ => texts(array)?.iter().for_each(each),
    }
    Ok(())
}

/// The number that a text is: blank text is a missing one (NaN), `None` is no number.
pub(super) fn number_of(text: &str) -> Option<f64> {
    let text = text.trim();
    if text.is_empty() {
        return Some(f64::NAN);
    }
    // Words such as "inf" and "nan" parse as floats, and are names in many columns.
    if text.bytes().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) {
        return None;
    }
    text.parse().ok()
}

fn converted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast(array, to).map_err(|error| {
        Error::new(Code::InvalidStatement, format!("values of type {} cannot be used by a model", array.data_type()))
            .detail(format!("{error}."))
    })
}

fn floats(array: &ArrayRef) -> Result<Float64Array> {
    Ok(converted(array, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn append(array: &Float64Array, per_unit: f64, values: &mut Vec<f64>) {
    if array.null_count() == 0 && per_unit == 1.0 {
        values.extend_from_slice(array.values());
    } else {
        values.extend(array.iter().map(|value| value.map_or(f64::NAN, |value| value / per_unit)));
    }
}

fn per_second(unit: TimeUnit) -> f64 {
    match unit {
        TimeUnit::Second => 1.0,
        TimeUnit::Millisecond => 1e3,
        TimeUnit::Microsecond => 1e6,
        TimeUnit::Nanosecond => 1e9,
    }
}

/// A text for a message.
pub(super) fn shortened(text: &str) -> String {
    const LETTERS_MAX: usize = 40;
    match text.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}
