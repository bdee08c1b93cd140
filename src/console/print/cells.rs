//! Values to texts.

use super::Row;
use crate::error::{Code, Error, Result};
use arrow::array::{Array, BinaryArray, LargeBinaryArray};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::Write;

/// Timestamps as SQL writes them; `T` and `Z` are for machines.
const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_null("NULL")
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"))
    .with_display_error(false);

/// The values of a batch as texts.
pub struct Cells<'a> {
    batch: &'a RecordBatch,
    formatters: Vec<ArrayFormatter<'a>>,
}

impl<'a> Cells<'a> {
    /// Prepares the columns of a batch.
    ///
    /// # Errors
    /// For a type that has no text.
    pub fn new(batch: &'a RecordBatch) -> Result<Self> {
        let formatters = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &OPTIONS)).collect::<Result<_, _>>();
        let formatters = formatters.map_err(|error| Error::new(Code::NotSupported, format!("cannot show the result: {error}")))?;
        Ok(Self { batch, formatters })
    }

    /// The texts of a row.
    ///
    /// # Errors
    /// For a value outside what its type can show, such as a date in the year 300,000.
    pub fn row(&self, row_idx: usize) -> Result<Row> {
        let columns = self.batch.columns().iter().zip(&self.formatters).enumerate();
        columns
            .map(|(column_idx, (column, formatter))| {
                if column.is_null(row_idx) {
                    return Ok(None);
                }
                if let Some(bytes) = bytes(column.as_ref(), row_idx) {
                    return Ok(Some(hexadecimal(bytes)));
                }
                formatter.value(row_idx).try_to_string().map(Some).map_err(|error| {
                    let schema = self.batch.schema_ref();
                    Error::new(Code::InvalidValue, format!("cannot show a value of column \"{}\": {error}", schema.field(column_idx).name()))
                })
            })
            .collect()
    }
}

fn bytes(column: &dyn Array, row_idx: usize) -> Option<&[u8]> {
    let any = column.as_any();
    any.downcast_ref::<BinaryArray>()
        .map(|array| array.value(row_idx))
        .or_else(|| any.downcast_ref::<LargeBinaryArray>().map(|array| array.value(row_idx)))
}

/// `\x0aff`, as psql shows bytes.
fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The lines of a text for a terminal: control characters are shown, not obeyed.
pub fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(shown).collect()
}

fn shown(line: &str) -> String {
    if !line.chars().any(char::is_control) {
        return line.to_owned();
    }
    let mut shown = String::with_capacity(line.len() + 8);
    for character in line.chars() {
        match character {
            '\r' => shown.push_str("\\r"),
            '\t' => {
                // To the next stop within the cell.
                let n_blanks = 8 - width(&shown) % 8;
                shown.extend(std::iter::repeat_n(' ', n_blanks));
            }
            control if control.is_control() => {
                let _ = write!(shown, "\\x{:02X}", control as u32);
            }
            other => shown.push(other),
        }
    }
    shown
}

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}
