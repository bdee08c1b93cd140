//! Intervals, durations and unions as text: what clients without these types can read.

use super::convert;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder, UnionArray};
use datafusion::arrow::datatypes::{
    DataType, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType, Field, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use datafusion::arrow::json::writer::{EncoderOptions, make_encoder};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Intervals as ISO 8601 text with a sign per part, as PostgreSQL's `intervalstyle = iso_8601` writes them.
pub(super) fn interval_text(array: &dyn Array, unit: IntervalUnit) -> ArrayRef {
    let text: StringArray = match unit {
        IntervalUnit::YearMonth => {
            array.as_primitive::<IntervalYearMonthType>().iter().map(|value| value.map(|months| iso_8601(months, 0, 0))).collect()
        }
        IntervalUnit::DayTime => array
            .as_primitive::<IntervalDayTimeType>()
            .iter()
            .map(|value| value.map(|value| iso_8601(0, value.days, i128::from(value.milliseconds) * 1_000_000)))
            .collect(),
        IntervalUnit::MonthDayNano => array
            .as_primitive::<IntervalMonthDayNanoType>()
            .iter()
            .map(|value| value.map(|value| iso_8601(value.months, value.days, i128::from(value.nanoseconds))))
            .collect(),
    };
    Arc::new(text)
}

/// Durations as ISO 8601 text: hours, minutes, seconds.
pub(super) fn duration_text(array: &dyn Array, unit: TimeUnit) -> ArrayRef {
    let text = |value: Option<i64>, nanos: i128| value.map(|value| iso_8601(0, 0, i128::from(value) * nanos));
    let text: StringArray = match unit {
        TimeUnit::Second => array.as_primitive::<DurationSecondType>().iter().map(|value| text(value, NANOS_PER_SECOND)).collect(),
        TimeUnit::Millisecond => array.as_primitive::<DurationMillisecondType>().iter().map(|value| text(value, 1_000_000)).collect(),
        TimeUnit::Microsecond => array.as_primitive::<DurationMicrosecondType>().iter().map(|value| text(value, 1_000)).collect(),
        TimeUnit::Nanosecond => array.as_primitive::<DurationNanosecondType>().iter().map(|value| text(value, 1)).collect(),
    };
    Arc::new(text)
}

fn iso_8601(months: i32, days: i32, nanos: i128) -> String {
    let mut text = String::from("P");
    part(&mut text, i128::from(months / 12), "Y");
    part(&mut text, i128::from(months % 12), "M");
    part(&mut text, i128::from(days), "D");
    if nanos != 0 {
        let (seconds, fraction) = (nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
        text.push('T');
        part(&mut text, seconds / 3600, "H");
        part(&mut text, seconds / 60 % 60, "M");
        if fraction == 0 {
            part(&mut text, seconds % 60, "S");
        } else {
            let sign = if nanos < 0 { "-" } else { "" };
            let digits = format!("{:09}", fraction.abs());
            // Writing to a String cannot fail, here and in `part`.
            let _ = write!(text, "{sign}{}.{}S", (seconds % 60).abs(), digits.trim_end_matches('0'));
        }
    }
    if text == "P" { "PT0S".to_owned() } else { text }
}

fn part(text: &mut String, value: i128, letter: &str) {
    if value != 0 {
        let _ = write!(text, "{value}{letter}");
    }
}

/// The value of each union row as JSON text; NULL stays NULL.
pub(super) fn union_text(array: &UnionArray) -> Result<ArrayRef> {
    let DataType::Union(fields, _) = array.data_type() else {
        return Err(Error::internal("a union array without a union type"));
    };
    // The children in edge types first: all of these have JSON encoders.
    let mut children = HashMap::new();
    for (type_id, field) in fields.iter() {
        let data_type = super::edge_type(field.data_type());
        let child = convert::edge_array(array.child(type_id), &data_type).map_err(|error| error.of_column(field.name()))?;
        children.insert(type_id, (Arc::new(Field::new(field.name(), data_type, true)), child));
    }
    let options = EncoderOptions::default();
    let mut encoders = HashMap::new();
    for (type_id, (field, child)) in &children {
        let encoder = make_encoder(field, child.as_ref(), &options)
            .map_err(|error| Error::internal(format!("a union of type {} has no JSON form: {error}", field.data_type())))?;
        encoders.insert(*type_id, encoder);
    }
    let mut text = StringBuilder::with_capacity(array.len(), array.len() * 8);
    let mut buffer = Vec::new();
    for row in 0..array.len() {
        let index = array.value_offset(row);
        match encoders.get_mut(&array.type_id(row)) {
            Some(encoder) if !encoder.is_null(index) => {
                buffer.clear();
                encoder.encode(index, &mut buffer);
                text.append_value(String::from_utf8_lossy(&buffer));
            }
            _ => text.append_null(),
        }
    }
    Ok(Arc::new(text.finish()))
}
