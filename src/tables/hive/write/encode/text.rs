//! CSV and TEXTFILE: any delimiter, quotes or escapes, a text for NULL.
//!
//! What is written is read back the same. Where a value could not be told from a delimiter, a line end or
//! NULL it is quoted, else escaped, else refused: never written as something else.

use crate::error::{Code, Error, Result};
use crate::tables::hive::TextOptions;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::fmt::Write;

/// True for types that have one text for each value.
pub(super) fn can_hold(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => can_hold(value),
        DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => true,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => true,
        DataType::Interval(_) | DataType::Duration(_) => false,
        other => other.is_primitive(),
    }
}

pub(super) struct TextEncoder {
    options: TextOptions,
    names: Vec<String>,
    /// The bytes of the last batch.
    out: Vec<u8>,
}

impl TextEncoder {
    pub(super) fn new(options: TextOptions, schema: &SchemaRef) -> Self {
        let names = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self { options, names, out: Vec::new() }
    }

    /// The first lines: what the reader skips, which must be there or it would skip rows, and the header.
    pub(super) fn header(&self) -> Result<Vec<u8>> {
        let mut names = Vec::new();
        for (column_idx, name) in self.names.iter().enumerate() {
            if column_idx > 0 {
                names.extend_from_slice(self.options.delimiter.as_bytes());
            }
            field(&self.options, name.as_bytes(), column_idx == 0, name, &mut names)?;
        }
        names.push(b'\n');
        let empty = vec![b'\n'; self.options.skip_lines];
        Ok(match (self.options.header, self.options.skip_lines) {
            (true, _) => [empty, names].concat(),
            (false, 0) => Vec::new(),
            (false, _) => [&names, &empty[1..]].concat(),
        })
    }

    /// The lines of a batch.
    pub(super) fn encode(&mut self, batch: &RecordBatch) -> Result<&[u8]> {
        let timestamp_format = self.options.timestamp_format.clone().unwrap_or_else(|| "%Y-%m-%d %H:%M:%S%.f".into());
        let zoned_format = self.options.timestamp_format.clone().unwrap_or_else(|| "%Y-%m-%d %H:%M:%S%.f%:z".into());
        // Without it a value that has no text is written as "ERROR: ..".
        let format = FormatOptions::new()
            .with_display_error(false)
            .with_timestamp_format(Some(&timestamp_format))
            .with_timestamp_tz_format(Some(&zoned_format))
            .with_datetime_format(Some(&timestamp_format));
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>>>()?;
        let mut texts = Vec::with_capacity(columns.len());
        for column in &columns {
            texts.push(Texts::new(column, &format)?);
        }
        self.out.clear();
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let line_start = self.out.len();
            for (column_idx, values) in texts.iter().enumerate() {
                if column_idx > 0 {
                    self.out.extend_from_slice(self.options.delimiter.as_bytes());
                }
                match values.get(row, &mut text)? {
                    None => self.out.extend_from_slice(self.options.null_text.as_bytes()),
                    Some(bytes) => field(&self.options, bytes, column_idx == 0, &self.names[column_idx], &mut self.out)?,
                }
            }
            // A reader of CSV skips empty lines, so the NULL of a single column is a pair of quotes.
            if let (true, Some(quote)) = (self.out.len() == line_start, self.options.quote) {
                self.out.extend([quote, quote]);
            }
            self.out.push(b'\n');
        }
        Ok(&self.out)
    }
}

fn plain(column: &ArrayRef) -> Result<ArrayRef> {
    let target = match column.data_type() {
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        _ => return Ok(std::sync::Arc::clone(column)),
    };
    cast(column, &target).map_err(|error| Error::new(Code::InvalidValue, format!("could not convert a value for writing: {error}")))
}

/// The texts of one column.
enum Texts<'a> {
    Bytes(&'a ArrayRef),
    Values(&'a ArrayRef, ArrayFormatter<'a>),
}

impl<'a> Texts<'a> {
    fn new(column: &'a ArrayRef, format: &FormatOptions<'a>) -> Result<Self> {
        match column.data_type() {
            DataType::Binary => Ok(Self::Bytes(column)),
            _ => match ArrayFormatter::try_new(column.as_ref(), format) {
                Ok(formatter) => Ok(Self::Values(column, formatter)),
                Err(error) => Err(Error::new(Code::NotSupported, format!("values of this type have no text: {error}"))),
            },
        }
    }

    fn get<'t>(&'t self, row: usize, text: &'t mut String) -> Result<Option<&'t [u8]>> {
        match self {
            Self::Bytes(column) | Self::Values(column, _) if column.is_null(row) => Ok(None),
            Self::Bytes(column) => Ok(Some(column.as_binary::<i32>().value(row))),
            Self::Values(_, formatter) => {
                text.clear();
                write!(text, "{}", formatter.value(row)).map_err(|_| {
                    Error::new(Code::InvalidValue, "value cannot be written as text").detail(format!("It is in row {}.", row + 1))
                })?;
                Ok(Some(text.as_bytes()))
            }
        }
    }
}

/// Writes one field so that it is read back as it is.
fn field(options: &TextOptions, value: &[u8], is_first: bool, column: &str, out: &mut Vec<u8>) -> Result<()> {
    let delimiter = options.delimiter.as_bytes();
    let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let is_null_text = value == options.null_text.as_bytes();
    let starts_comment = is_first && options.comment.is_some() && value.first().copied() == options.comment;
    let has_special = value
        .iter()
        .any(|byte| Some(byte) == delimiter.first() || is_line_end(byte) || Some(*byte) == options.quote || Some(*byte) == options.escape);
    if !has_special && !is_null_text && !starts_comment {
        out.extend_from_slice(value);
        return Ok(());
    }
    match (options.quote, options.escape) {
        (Some(quote), escape) => {
            out.push(quote);
            for byte in value {
                if *byte == quote {
                    out.push(quote);
                } else if let (true, Some(escape)) = (Some(*byte) == escape, escape) {
                    out.push(escape);
                }
                out.push(*byte);
            }
            out.push(quote);
            Ok(())
        }
        (None, Some(escape)) if !(is_null_text && value.is_empty()) => {
            for (at, byte) in value.iter().enumerate() {
                let is_special = Some(byte) == delimiter.first() || is_line_end(byte) || *byte == escape;
                if is_special || at == 0 && (is_null_text || starts_comment) {
                    out.push(escape);
                }
                out.push(*byte);
            }
            Ok(())
        }
        // Without quote and escape a value is written as it is if it can be read so.
        _ if value.iter().any(is_line_end) || is_null_text || starts_comment || !ends_at_delimiter(value, delimiter) => {
            Err(Error::new(Code::InvalidValue, format!("value of column \"{column}\" cannot be written to this text format"))
                .detail("It contains the delimiter or a line end, or is the text for NULL, and the table has neither quote nor escape.")
                .hint("Give the table an option \"quote\" or \"escape\", or another delimiter."))
        }
        _ => {
            out.extend_from_slice(value);
            Ok(())
        }
    }
}

/// True when a reader of `value`, then the delimiter, finds the delimiter first where it was meant.
fn ends_at_delimiter(value: &[u8], delimiter: &[u8]) -> bool {
    let joined = [value, delimiter].concat();
    joined.windows(delimiter.len()).position(|window| window == delimiter) == Some(value.len())
}
