//! JSON, one object a line.
//!
//! Our own walk, not arrow-json: that one cuts 1.5 to 1 for a BIGINT, takes two objects on a line for two rows,
//! and cannot name the line of an error (engine-traps.md).

mod builder;
mod rows;
mod scanner;
#[cfg(test)]
mod tests;

pub(crate) use rows::JsonRows;
pub(super) use scanner::{Kind, Scanner, kind, unquote};

use super::column::TimestampText;
use super::format::{JsonOptions, JsonTimestamp};
use super::line_source::{Decoder, DecoderTask, Pending};
use super::text::{BATCH_BYTES_MAX, RECORD_BYTES_MAX, bad_field};
use crate::error::{Code, Error, Result};
use builder::{JsonColumn, KeyMap, OnBad};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

/// Makes batches out of one JSON file.
pub(super) struct JsonDecoder {
    task: DecoderTask,
    bad_field_is_null: bool,
    pending: Pending,
    keys: KeyMap,
    columns: Vec<JsonColumn>,
    output: SchemaRef,
    /// The line that comes next, from 1.
    line: u64,
    n_rows: usize,
    n_bytes: usize,
}

impl JsonDecoder {
    pub(super) fn new(options: &JsonOptions, task: DecoderTask) -> Result<Self> {
        let timestamps = match options.timestamp_format {
            JsonTimestamp::Iso8601 => TimestampText::Iso,
            JsonTimestamp::EpochMs => TimestampText::Epoch(1_000),
            JsonTimestamp::EpochS => TimestampText::Epoch(1_000_000),
        };
        let fields = task.columns.iter().map(|column_idx| task.schema.field(*column_idx).clone()).collect::<Vec<_>>();
        Ok(Self {
            keys: KeyMap::new(fields.iter().map(|field| field.name().as_str())),
            columns: fields.iter().map(|field| JsonColumn::new(field, &timestamps)).collect::<Result<_>>()?,
            output: Arc::new(Schema::new(fields)),
            bad_field_is_null: options.bad_field_is_null,
            pending: Pending::default(),
            line: 1,
            n_rows: 0,
            n_bytes: 0,
            task,
        })
    }

    fn append_line(&mut self, length: usize) -> Result<()> {
        let text = &self.pending.rest()[..length];
        let object = object_of_line(&self.task.file, self.line, text)?;
        let Some(object) = object else { return Ok(()) };
        let mut values = vec![None; self.columns.len()];
        self.keys.spread(object, &mut values).map_err(|why| broken_line(&self.task.file, self.line, why))?;
        let mut n_bad = 0;
        for (column, value) in self.columns.iter_mut().zip(values) {
            let mut on_bad = if self.bad_field_is_null { OnBad::Null(&mut n_bad) } else { OnBad::Error };
            match value {
                None => column.append_null(),
                Some((value, _)) => column
                    .append(value, &mut on_bad)
                    .map_err(|bad| bad_field(&self.task.file, self.line, &bad.path, &bad.sql_type, &bad.text, bad.reason))?,
            }
        }
        self.task.bad_fields.add(n_bad);
        self.n_rows += 1;
        self.n_bytes += length;
        Ok(())
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.n_rows == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(JsonColumn::finish).collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.n_rows));
        (self.n_rows, self.n_bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.output), arrays, &options)
            .map(Some)
            .map_err(|error| Error::internal(error.to_string()))
    }
}

impl Decoder for JsonDecoder {
    fn push(&mut self, chunk: Option<Vec<u8>>) {
        self.pending.push(chunk);
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.n_rows < self.task.batch_rows && self.n_bytes < BATCH_BYTES_MAX {
            let rest = self.pending.rest();
            let (length, end) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at, at + 1),
                None if self.pending.at_end && rest.is_empty() => break,
                None if self.pending.at_end => (rest.len(), rest.len()),
                None if rest.len() > RECORD_BYTES_MAX => {
                    return Err(broken_line(&self.task.file, self.line, "the line is longer than 64 MiB")
                        .hint("Write one object a line, not one array of all objects."));
                }
                None => return Ok(None),
            };
            self.append_line(length)?;
            self.pending.consume(end);
            self.line += 1;
        }
        self.take_batch()
    }
}

/// The one object of a line, checked; `None` for a line of blanks.
pub(super) fn object_of_line<'a>(file: &str, line: u64, text: &'a [u8]) -> Result<Option<&'a [u8]>> {
    let mut scanner = Scanner::new(text);
    if scanner.is_at_end() {
        return Ok(None);
    }
    let object = scanner.value().map_err(|why| broken_line(file, line, why))?;
    if kind(object) != Kind::Object {
        let hint = "Write one object a line, not one array of all objects.";
        return Err(broken_line(file, line, "the line is not a JSON object").hint(hint));
    }
    if !scanner.is_at_end() {
        return Err(broken_line(file, line, "more text follows the object").hint("Write one object a line."));
    }
    Ok(Some(object))
}

fn broken_line(file: &str, line: u64, why: &str) -> Error {
    Error::new(Code::DataCorrupted, format!("file \"{file}\", line {line}: {why}"))
}
