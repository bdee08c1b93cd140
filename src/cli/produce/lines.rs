//! The records of a file, one after the other: lines of JSON, or of CSV as JSON objects.

use super::csv;
use crate::error::{Code, Error, Result};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::time::Duration;

/// A line of more bytes is an error.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One record to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub payload: Vec<u8>,
}

/// What was sent so far.
#[derive(Debug, Default)]
pub struct Sent {
    pub n_records: u64,
    pub n_bytes: u64,
    /// Records without a key.
    pub n_keyless: u64,
}

impl Sent {
    /// Counts a record.
    pub fn add(&mut self, record: &Record) {
        self.n_records += 1;
        self.n_bytes += record.payload.len() as u64;
        self.n_keyless += u64::from(record.key.is_none());
    }

    /// The counts in one line.
    pub fn report(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let (records, kilobytes) = (super::plural(self.n_records, "record"), self.n_bytes.div_ceil(1_000));
        format!("sent {} {records}, {kilobytes} kB in {seconds:.1} s ({:.0}/s)", self.n_records, self.n_records as f64 / seconds)
    }
}

/// What the values of a CSV column are in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Boolean,
    Text,
}

/// How the file's records become records of the topic.
enum Shape {
    /// Each line as it is.
    Json { key: Option<String> },
    /// CSV: the header's columns with their kinds, and which of them is the key.
    Csv { columns: Vec<(String, Kind)>, key_idx: Option<usize>, is_raw: bool },
}

/// A file that is read record by record, more than once if need be.
pub struct Lines {
    input: BufReader<File>,
    shape: Shape,
    n_records: u64,
}

impl Lines {
    /// Opens a file: CSV when it ends in `.csv`, otherwise JSON lines. `is_raw` keeps CSV lines as they are.
    pub fn open(path: &Path, is_raw: bool, key: Option<&str>) -> Result<Self> {
        let file = File::open(path)
            .map_err(|error| Error::new(Code::Io, format!("could not open the file \"{}\": {}", path.display(), error.kind())))?;
        let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
        if is_raw && !is_csv {
            let message = format!("--format csv is for CSV files, and \"{}\" does not end in .csv", path.display());
            return Err(Error::new(Code::InvalidParameter, message));
        }
        let shape = Shape::Json { key: key.map(str::to_owned) };
        let mut lines = Self { input: BufReader::new(file), shape, n_records: 0 };
        if is_csv {
            lines.shape = csv_shape(&mut lines.input, key, is_raw)?;
            lines.rewind()?;
        }
        Ok(lines)
    }

    /// The next record; None at the end of the file.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        let record = match &self.shape {
            Shape::Json { key } => next_line(&mut self.input)?.map(|payload| {
                let key = key.as_ref().and_then(|key| json_key(&payload, key));
                Record { key, payload }
            }),
            Shape::Csv { columns, key_idx, is_raw } => csv::read(&mut self.input)?.map(|row| {
                let key = key_idx.and_then(|idx| row.fields.get(idx)).filter(|field| !field.text.is_empty() || field.is_quoted);
                let key = key.map(|field| field.text.clone().into_bytes());
                Record { key, payload: if *is_raw { row.line } else { json_object(columns, &row.fields) } }
            }),
        };
        self.n_records += u64::from(record.is_some());
        Ok(record)
    }

    /// Begins again with the first record.
    pub fn rewind(&mut self) -> Result<()> {
        let at_start = self.input.rewind();
        at_start.map_err(|error| Error::new(Code::Io, format!("the file cannot be read again: {}", error.kind())))?;
        if matches!(self.shape, Shape::Csv { .. }) {
            csv::read(&mut self.input)?;
        }
        Ok(())
    }

    /// True when not one record was found.
    pub fn is_empty(&self) -> bool {
        self.n_records == 0
    }
}

/// The next line that is not blank.
fn next_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        let n_bytes = input
            .by_ref()
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::new(Code::Io, format!("the file could not be read: {}", error.kind())))?;
        if n_bytes > LINE_BYTES_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("a line of the file has more than {LINE_BYTES_MAX} bytes")));
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if !line.is_empty() {
            return Ok(Some(line));
        }
        if n_bytes == 0 {
            return Ok(None);
        }
    }
}

/// The text of a field of a JSON object: strings without their quotes, everything else as JSON.
fn json_key(payload: &[u8], key: &str) -> Option<Vec<u8>> {
    let mut object: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    match object.remove(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.into_bytes()),
        other => Some(other.to_string().into_bytes()),
    }
}

/// Reads the whole file once: a column is of numbers or booleans only when all its values are.
fn csv_shape(input: &mut impl BufRead, key: Option<&str>, is_raw: bool) -> Result<Shape> {
    let header = csv::read(input)?.ok_or_else(|| Error::new(Code::DataCorrupted, "the CSV file is empty: it has no header line"))?;
    let names: Vec<String> = header.fields.iter().map(|field| field.text.trim_start_matches('\u{feff}').to_owned()).collect();
    let key_idx = match key {
        None => None,
        Some(key) => Some(names.iter().position(|name| name == key).ok_or_else(|| {
            Error::new(Code::UndefinedColumn, format!("the CSV file has no column \"{key}\""))
                .detail(format!("It has {}.", names.join(", ")))
        })?),
    };
    let mut kinds: Vec<Option<Kind>> = vec![None; names.len()];
    while let (false, Some(row)) = (is_raw, csv::read(input)?) {
        for (kind, field) in kinds.iter_mut().zip(&row.fields) {
            let of_value = kind_of(field);
            *kind = match (*kind, of_value) {
                (known, None) => known,
                (None, found) => found,
                (Some(known), Some(found)) => Some(if known == found { known } else { Kind::Text }),
            };
        }
    }
    let columns = names.into_iter().zip(kinds).map(|(name, kind)| (name, kind.unwrap_or(Kind::Text))).collect();
    Ok(Shape::Csv { columns, key_idx, is_raw })
}

/// None for an empty field, which is NULL.
fn kind_of(field: &csv::Field) -> Option<Kind> {
    match field.text.as_str() {
        _ if field.is_quoted => Some(Kind::Text),
        "" => None,
        "true" | "false" => Some(Kind::Boolean),
        text if is_json_number(text) => Some(Kind::Number),
        _ => Some(Kind::Text),
    }
}

/// A number as JSON writes it: `007`, `+1` and `1.` are texts.
fn is_json_number(text: &str) -> bool {
    let is_tight = text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    is_tight && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// Numbers as they are written, texts quoted, empty fields null; a field that is missing in its record is missing here.
fn json_object(columns: &[(String, Kind)], fields: &[csv::Field]) -> Vec<u8> {
    let mut object = String::from("{");
    for (column_idx, ((name, kind), field)) in columns.iter().zip(fields).enumerate() {
        if column_idx > 0 {
            object.push(',');
        }
        object.push_str(&quoted(name));
        object.push(':');
        match kind {
            _ if field.text.is_empty() && !field.is_quoted => object.push_str("null"),
            Kind::Number | Kind::Boolean => object.push_str(&field.text),
            Kind::Text => object.push_str(&quoted(&field.text)),
        }
    }
    object.push('}');
    object.into_bytes()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
