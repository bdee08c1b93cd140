//! Records of a CSV file: commas, quotes doubled inside of quotes, line ends inside of quotes.

use crate::error::{Code, Error, Result};
use std::io::{BufRead, Read};

/// A record of more bytes is an error: a quote that is never closed would read the whole file.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    pub fields: Vec<Field>,
    /// As it stands in the file, without its line end.
    pub line: Vec<u8>,
}

/// One field, without its quotes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Field {
    pub text: String,
    pub is_quoted: bool,
}

/// Reads the next record; None at the end. Blank lines are passed over.
pub fn read(input: &mut impl BufRead) -> Result<Option<Record>> {
    let mut line = Vec::new();
    loop {
        let before = line.len();
        let limit = (RECORD_BYTES_MAX + 1 - before) as u64;
        let n_bytes = input
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::new(Code::Io, format!("the file could not be read: {}", error.kind())))?;
        if line.len() > RECORD_BYTES_MAX {
            return Err(Error::new(Code::DataCorrupted, format!("a record of the CSV file has more than {RECORD_BYTES_MAX} bytes"))
                .hint("Look for a quote that is not closed."));
        }
        let is_open = line.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        if n_bytes > 0 && is_open {
            continue;
        }
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        if n_bytes == 0 && line.is_empty() {
            return Ok(None);
        }
        if !line.is_empty() {
            return Ok(Some(Record { fields: split(&String::from_utf8_lossy(&line)), line }));
        }
    }
}

fn split(line: &str) -> Vec<Field> {
    let (mut fields, mut field, mut is_inside) = (Vec::new(), Field::default(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_inside && characters.peek() == Some(&'"') => {
                characters.next();
                field.text.push('"');
            }
            '"' if is_inside => is_inside = false,
            '"' if field.text.is_empty() => (is_inside, field.is_quoted) = (true, true),
            ',' if !is_inside => fields.push(std::mem::take(&mut field)),
            other => field.text.push(other),
        }
    }
    fields.push(field);
    fields
}
