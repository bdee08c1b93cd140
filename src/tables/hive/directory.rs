//! Names of partition directories: `dt=2026-01-01`, as Hive and Spark write them.

use datafusion::arrow::datatypes::FieldRef;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::ScalarValue;

/// The directory name that stands for NULL.
pub(super) const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// `year=2001/month=1`: the directory of a partition below its table.
pub(crate) fn partition_text(columns: &[FieldRef], values: &[ScalarValue]) -> String {
    let pairs = columns.iter().zip(values).map(|(column, value)| {
        let text = match value_text(value) {
            Some(text) => escape(&text),
            None => NULL_PARTITION.to_owned(),
        };
        format!("{}={text}", escape(column.name()))
    });
    pairs.collect::<Vec<_>>().join("/")
}

/// A value as a directory is named after it; `None` for NULL.
fn value_text(value: &ScalarValue) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let text = value.to_array().and_then(|array| {
        let options = format_options();
        Ok(ArrayFormatter::try_new(&array, &options)?.value(0).try_to_string()?)
    });
    Some(text.unwrap_or_else(|_| value.to_string()))
}

/// Escapes a partition column or value as Hive's `FileUtils.escapePathName` does: `12:30` -> `12%3A30`.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{0}'..='\u{1f}' | '\u{7f}' => escaped.push_str(&format!("%{:02X}", u32::from(letter))),
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^' => {
                escaped.push_str(&format!("%{:02X}", u32::from(letter)));
            }
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// The opposite of [`escape`]; a `%` that no two hexadecimal digits follow stays.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex =
            after.get(..2).and_then(|two| std::str::from_utf8(two).ok()).filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// How the values of a type are written in directory names.
pub(super) fn format_options() -> FormatOptions<'static> {
    FormatOptions::new()
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
        .with_datetime_format(Some("%Y-%m-%d %H:%M:%S%.f"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use std::sync::Arc;

    #[track_caller]
    fn check(value: &ScalarValue, expected: &str) {
        let column = Arc::new(Field::new("k", value.data_type(), true));
        assert_eq!(partition_text(&[column], std::slice::from_ref(value)), format!("k={expected}"));
    }

    #[test]
    fn values_are_written_as_hive_writes_them() {
        check(&ScalarValue::Int32(None), NULL_PARTITION);
        check(&ScalarValue::Int32(Some(-7)), "-7");
        check(&ScalarValue::Utf8(Some("a/b=c %".into())), "a%2Fb%3Dc %25");
        check(&ScalarValue::Date32(Some(19_782)), "2024-02-29");
        check(&ScalarValue::Boolean(Some(true)), "true");
        check(&ScalarValue::Decimal128(Some(225), 5, 2), "2.25");
        check(&ScalarValue::TimestampMicrosecond(Some(1_704_103_200_500_000), None), "2024-01-01 10%3A00%3A00.500");
        check(&ScalarValue::TimestampMicrosecond(Some(1_704_067_200_000_000), None), "2024-01-01 00%3A00%3A00");
    }
}
