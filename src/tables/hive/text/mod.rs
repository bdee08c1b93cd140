//! CSV and TEXTFILE: records to columns.

mod rows;
mod splitter;
#[cfg(test)]
mod tests;

pub(crate) use rows::TextRows;
pub(super) use splitter::{Record, Splitter, Step};

use super::column::{BadText, ColumnBuilder, TimestampText, shorten, sql_type};
use super::format::TextOptions;
use super::line_source::{Decoder, DecoderTask, Pending};
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use std::sync::Arc;

/// A longer record is taken for a quote that was never closed.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
/// A batch ends early when its texts are larger: offsets of strings have 31 bits, memory has limits.
pub(super) const BATCH_BYTES_MAX: usize = 32 << 20;

/// Makes batches out of one CSV or TEXTFILE file.
pub(super) struct TextDecoder {
    options: TextOptions,
    task: DecoderTask,
    splitter: Splitter,
    pending: Pending,
    record: Record,
    /// The columns wanted, in the order of `task.columns`.
    columns: Vec<WantedColumn>,
    output: SchemaRef,
    /// Fields that a record must have.
    n_fields: usize,
    lines_to_skip: usize,
    header_is_next: bool,
    /// The line on which the next record begins, from 1.
    line: u64,
    n_rows: usize,
    n_bytes: usize,
}

struct WantedColumn {
    name: String,
    builder: ColumnBuilder,
    /// Where the column stands in the file.
    field_idx: usize,
}

/// A record to convert, or nothing more for now.
enum Found {
    Record { bytes: usize },
    Wait,
    End,
}

impl TextDecoder {
    pub(super) fn new(options: &TextOptions, task: DecoderTask) -> Result<Self> {
        let timestamps = match &options.timestamp_format {
            Some(pattern) => TimestampText::Pattern(pattern.clone()),
            None => TimestampText::Iso,
        };
        let format = if options.ragged { "TEXTFILE" } else { "CSV" };
        let columns = task
            .columns
            .iter()
            .map(|column_idx| {
                let field = task.schema.field(*column_idx);
                let builder = ColumnBuilder::new(field, &timestamps, format)?;
                Ok(WantedColumn { name: field.name().clone(), builder, field_idx: *column_idx })
            })
            .collect::<Result<Vec<_>>>()?;
        let fields = task.columns.iter().map(|column_idx| task.schema.field(*column_idx).clone()).collect::<Vec<_>>();
        Ok(Self {
            splitter: Splitter::new(options),
            pending: Pending::default(),
            record: Record::default(),
            columns,
            output: Arc::new(Schema::new(fields)),
            n_fields: task.schema.fields().len(),
            lines_to_skip: options.skip_lines,
            header_is_next: options.header,
            line: 1,
            n_rows: 0,
            n_bytes: 0,
            options: options.clone(),
            task,
        })
    }

    /// Passes over skipped lines, comments and empty lines up to the next record.
    fn find_record(&mut self) -> Result<Found> {
        loop {
            let rest = self.pending.rest();
            if self.lines_to_skip > 0 {
                match rest.iter().position(|byte| *byte == b'\n') {
                    Some(at) => {
                        self.pending.consume(at + 1);
                        self.line += 1;
                        self.lines_to_skip -= 1;
                        continue;
                    }
                    None if self.pending.at_end => return Ok(Found::End),
                    None => return Ok(Found::Wait),
                }
            }
            match self.splitter.next(rest, self.pending.at_end, &mut self.record) {
                Step::Record { bytes } => return Ok(Found::Record { bytes }),
                Step::Skipped { bytes } => {
                    self.pending.consume(bytes);
                    self.line += 1;
                }
                Step::End => return Ok(Found::End),
                Step::More if rest.len() > RECORD_BYTES_MAX => {
                    let limit = RECORD_BYTES_MAX >> 20;
                    return Err(self.broken("the record that begins here does not end").detail(format!("It is longer than {limit} MiB.")));
                }
                Step::More => return Ok(Found::Wait),
                Step::Broken(why) => return Err(self.broken(why).hint("Check the options 'quote' and 'delimiter' of the table.")),
            }
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::new(Code::DataCorrupted, format!("file \"{}\", line {}: {why}", self.task.file, self.line))
    }

    /// The record is done: counts its lines.
    fn leave(&mut self, bytes: usize) {
        self.line += self.pending.rest()[..bytes].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.pending.consume(bytes);
    }

    /// Finds the columns in the header: all by name, else all by position, unless names speak against that.
    fn read_header(&mut self) -> Result<()> {
        let names = header_names(&self.record, self.pending.rest());
        let declared = self.task.schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        match match_header(&names, &declared) {
            HeaderMatch::Names(places) => {
                for (wanted, column_idx) in self.columns.iter_mut().zip(&self.task.columns) {
                    wanted.field_idx = places[*column_idx];
                }
                self.n_fields = names.len();
                Ok(())
            }
            HeaderMatch::Positions => Ok(()),
            HeaderMatch::None { missing } => {
                let n_declared = declared.len();
                Err(self
                    .broken(&format!("the header has no column \"{missing}\""))
                    .detail(format!(
                        "The header has {} columns, the table declares {n_declared}: they match neither by name nor by position.",
                        names.len()
                    ))
                    .hint("Declare the columns as the header names them, or set 'header'='false' if the first line is data."))
            }
        }
    }

    fn append_record(&mut self) -> Result<()> {
        let input = self.pending.rest();
        let n_found = self.record.len();
        if n_found != self.n_fields && !self.options.ragged {
            return Err(self
                .broken(&format!("the record has {n_found} fields, not {}", self.n_fields))
                .hint("Check the options 'delimiter' and 'quote' of the table, and the file."));
        }
        for column in &mut self.columns {
            if column.field_idx >= n_found || self.record.raw(input, column.field_idx) == self.options.null_text.as_bytes() {
                column.builder.append_null();
                continue;
            }
            let text = self.record.field(input, column.field_idx);
            self.n_bytes += text.len();
            match column.builder.append(text) {
                Ok(()) => {}
                // A field of blanks only is no number; texts keep their blanks.
                Err(_) if self.options.bad_field_is_null => {
                    self.task.bad_fields.add(1);
                    column.builder.append_null();
                }
                Err(bad) => {
                    let data_type = sql_type(column.builder.finish().data_type());
                    return Err(bad_field(&self.task.file, self.line, &column.name, &data_type, text, bad));
                }
            }
        }
        self.n_rows += 1;
        Ok(())
    }

    fn take_batch(&mut self) -> Result<Option<RecordBatch>> {
        if self.n_rows == 0 {
            return Ok(None);
        }
        let arrays = self.columns.iter_mut().map(|column| column.builder.finish()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.n_rows));
        (self.n_rows, self.n_bytes) = (0, 0);
        RecordBatch::try_new_with_options(Arc::clone(&self.output), arrays, &options)
            .map(Some)
            .map_err(|error| Error::internal(error.to_string()))
    }
}

impl Decoder for TextDecoder {
    fn push(&mut self, chunk: Option<Vec<u8>>) {
        self.pending.push(chunk);
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        while self.n_rows < self.task.batch_rows && self.n_bytes < BATCH_BYTES_MAX {
            match self.find_record()? {
                Found::Wait => return Ok(None),
                Found::End => break,
                Found::Record { bytes } => {
                    if self.header_is_next {
                        self.header_is_next = false;
                        self.read_header()?;
                    } else {
                        self.append_record()?;
                    }
                    self.leave(bytes);
                }
            }
        }
        self.take_batch()
    }
}

/// The error about a field that does not fit its column.
pub(super) fn bad_field(file: &str, line: u64, column: &str, sql_type: &str, text: &[u8], bad: BadText) -> Error {
    let place = format!("file \"{file}\", line {line}: column \"{column}\"");
    match bad {
        BadText::Value => Error::new(Code::InvalidValue, format!("{place} is \"{}\", not of type {sql_type}", shorten(text)))
            .hint("Declare the column as STRING, or set 'on_bad_field'='null'."),
        BadText::Utf8 => Error::new(Code::InvalidValue, format!("{place} is not valid UTF-8: \"{}\"", shorten(text)))
            .hint("Convert the file to UTF-8, or declare the column as BINARY."),
    }
}

/// The names in a header, without blanks around them.
pub(super) fn header_names(record: &Record, input: &[u8]) -> Vec<String> {
    (0..record.len()).map(|field_idx| String::from_utf8_lossy(record.field(input, field_idx)).trim().to_string()).collect()
}

/// How the declared columns lie in a file with a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderMatch {
    /// All are found: the place of each declared column.
    Names(Vec<usize>),
    /// Not all are found, but there are as many, and those that are found stand where they are declared.
    Positions,
    None {
        missing: String,
    },
}

/// Matches names exactly first, then without regard to case.
pub(super) fn match_header(names: &[String], declared: &[&str]) -> HeaderMatch {
    let find = |wanted: &str| {
        let exact = names.iter().position(|name| name == wanted);
        exact.or_else(|| names.iter().position(|name| name.to_lowercase() == wanted.to_lowercase()))
    };
    let places = declared.iter().map(|wanted| find(wanted)).collect::<Vec<_>>();
    if let Some(places) = places.iter().copied().collect::<Option<Vec<_>>>() {
        return HeaderMatch::Names(places);
    }
    let in_place = places.iter().enumerate().all(|(idx, place)| place.is_none_or(|place| place == idx));
    if names.len() == declared.len() && in_place {
        return HeaderMatch::Positions;
    }
    let missing = declared.iter().zip(&places).find(|(_, place)| place.is_none()).map(|(name, _)| (*name).to_string());
    HeaderMatch::None { missing: missing.unwrap_or_default() }
}
