//! Partition values: as text in the log, as typed values in memory, as names of directories.

use crate::error::{Code, Error, Result};
use chrono::DateTime;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ScalarValue;
use std::fmt::Write;

/// What Hive, Spark and we call the directory of NULL.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

/// File systems end names at 255 bytes; the log is the truth, so a longer name may be cut.
const DIRECTORY_BYTES_MAX: usize = 200;

/// The text that stands for a value in the log. Delta has one text for NULL and for the empty string: none.
pub fn value_text(value: &ScalarValue) -> Result<Option<String>> {
    if value.is_null() {
        return Ok(None);
    }
    let text = match value {
        // An instant carries its zone, or Spark reads it in the zone of its session.
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let time = DateTime::from_timestamp_micros(*micros)
                .ok_or_else(|| Error::new(Code::InvalidValue, format!("timestamp of {micros} microseconds is out of range")))?;
            match zone {
                Some(_) => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
                None => time.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
            }
        }
        ScalarValue::Utf8(Some(text)) => text.clone(),
        other => match other.cast_to(&DataType::Utf8) {
            Ok(ScalarValue::Utf8(Some(text))) => text,
            _ => return Err(Error::internal(format!("partition value of type {}", other.data_type()))),
        },
    };
    Ok((!text.is_empty()).then_some(text))
}

/// The value that a text in the log (or in a PARTITION clause) stands for.
pub fn parse_value(text: Option<&str>, field: &FieldRef) -> Result<ScalarValue> {
    let refuse = || {
        let shown = text.unwrap_or_default();
        Error::new(
            Code::InvalidValue,
            format!("\"{shown}\" is not a value of partition column \"{}\" of type {}", field.name(), field.data_type()),
        )
    };
    match text {
        None | Some("") => ScalarValue::try_from(field.data_type()).map_err(|error| Error::internal(error.to_string())),
        Some(text) => {
            let value = ScalarValue::try_from_string(text.to_owned(), field.data_type()).map_err(|_| refuse())?;
            if value.is_null() { Err(refuse()) } else { Ok(value) }
        }
    }
}

/// `year=2020/city=S%C3%A3o%20Paulo`: the directory of a partition, empty without partition columns.
pub fn directory(fields: &[FieldRef], texts: &[Option<String>]) -> String {
    fields.iter().zip(texts).map(|(field, text)| directory_name(field.name(), text.as_deref())).collect::<Vec<_>>().join("/")
}

fn directory_name(column: &str, text: Option<&str>) -> String {
    let Some(text) = text else { return format!("{}={NULL_DIRECTORY}", escape(column)) };
    let name = format!("{}={}", escape(column), escape(text));
    if name.len() <= DIRECTORY_BYTES_MAX {
        return name;
    }
    // Cut between escapes, and tell equal beginnings apart.
    let mut end = DIRECTORY_BYTES_MAX - 20;
    while name[..end].ends_with('%') || name[..end - 1].ends_with('%') {
        end -= 1;
    }
    format!("{}~{:016x}", &name[..end], fingerprint(&name))
}

/// Everything but letters, digits and `_.-` as `%XX`: safe in every store, shell and URL.
fn escape(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => name.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(name, "%{byte:02X}")),
        }
    }
    name
}

/// FNV-1a.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{Field, TimeUnit};
    use std::sync::Arc;

    #[track_caller]
    fn check(data_type: DataType, text: &str, expected: &str) {
        let field: FieldRef = Arc::new(Field::new("p", data_type, true));
        let value = parse_value(Some(text), &field).unwrap();
        let written = value_text(&value).unwrap().unwrap();
        assert_eq!(written, expected);
        assert_eq!(parse_value(Some(&written), &field).unwrap(), value, "the text reads back as the value");
    }

    #[test]
    fn a_value_that_does_not_fit_the_type_is_refused() {
        let field: FieldRef = Arc::new(Field::new("year", DataType::Int32, true));
        let error = parse_value(Some("x"), &field).unwrap_err();
        assert_eq!(error.message, "\"x\" is not a value of partition column \"year\" of type Int32");
    }

    #[test]
    fn texts_are_the_ones_of_the_delta_protocol() {
        check(DataType::Int32, "2020", "2020");
        check(DataType::Date32, "2020-02-29", "2020-02-29");
        check(DataType::Boolean, "TRUE", "true");
        check(DataType::Decimal128(10, 2), "1.5", "1.50");
        check(DataType::Timestamp(TimeUnit::Microsecond, None), "2020-01-01T10:00:00.5", "2020-01-01 10:00:00.500000");
        check(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), "2020-01-01 10:00:00", "2020-01-01T10:00:00.000000Z");
        check(DataType::Utf8, "São Paulo/=%", "São Paulo/=%");
    }

    #[test]
    fn directories_are_escaped_and_short() {
        let fields: Vec<FieldRef> = vec![Arc::new(Field::new("a", DataType::Utf8, true)), Arc::new(Field::new("b", DataType::Utf8, true))];
        assert_eq!(directory(&fields, &[Some("x/y z".into()), None]), "a=x%2Fy%20z/b=__HIVE_DEFAULT_PARTITION__");
        let long = directory(&fields[..1], &[Some("é".repeat(300))]);
        assert!(long.len() <= 200 && !long[..long.find('~').unwrap()].ends_with('%'), "{long}");
        assert_ne!(long, directory(&fields[..1], &[Some("é".repeat(301))]));
    }
}
