//! Columns of CSV and TEXTFILE files: names from the header, types from a sample.

use super::guess::Guess;
use super::{FoundFile, ROWS_MAX};
use crate::error::{Code, Error, Result};
use crate::tables::hive::chunk::Chunks;
use crate::tables::hive::format::TextOptions;
use crate::tables::hive::line_source::Pending;
use crate::tables::hive::text::{RECORD_BYTES_MAX, Record, Splitter, Step, header_names};
use datafusion::arrow::datatypes::{DataType, Field};
use object_store::ObjectStore;
use std::sync::Arc;

/// What one file shows.
struct Sample {
    names: Option<Vec<String>>,
    guesses: Vec<Guess>,
    line: u64,
}

pub(super) async fn infer(store: &Arc<dyn ObjectStore>, files: &[FoundFile], options: &TextOptions) -> Result<Vec<Field>> {
    let mut columns: Vec<(String, Guess)> = Vec::new();
    let mut first_file: Option<&str> = None;
    for file in files {
        let sample = sample(store, file, options).await?;
        let n_columns = sample.names.as_ref().map_or(sample.guesses.len(), Vec::len);
        if n_columns == 0 {
            continue;
        }
        let names = sample.names.unwrap_or_else(|| (0..n_columns).map(|idx| format!("_c{idx}")).collect());
        let guesses = sample.guesses.into_iter().chain(std::iter::repeat_with(Guess::default));
        let Some(first) = first_file else {
            first_file = Some(&file.text);
            columns = names.into_iter().zip(guesses).collect();
            continue;
        };
        if options.header {
            merge_by_name(&mut columns, &names, guesses, first, &file.text)?;
        } else {
            for (idx, (name, guess)) in names.into_iter().zip(guesses).enumerate() {
                match columns.get_mut(idx) {
                    Some((_, before)) => before.merge(guess),
                    None => columns.push((name, guess)),
                }
            }
        }
    }
    for (idx, (name, _)) in columns.iter_mut().enumerate() {
        if name.is_empty() {
            *name = format!("_c{idx}");
        }
    }
    Ok(columns.into_iter().map(|(name, guess)| Field::new(name, data_type(guess, options), true)).collect())
}

/// The reader would take a timestamp of ISO form by the pattern of the table, and refuse it.
fn data_type(guess: Guess, options: &TextOptions) -> DataType {
    match guess.data_type() {
        DataType::Timestamp(..) if options.timestamp_format.is_some() => DataType::Utf8,
        data_type => data_type,
    }
}

/// Names that all match say which column is which; else the count must agree, as when reading.
fn merge_by_name(
    columns: &mut [(String, Guess)],
    names: &[String],
    guesses: impl Iterator<Item = Guess>,
    first: &str,
    file: &str,
) -> Result<()> {
    let places = names.iter().map(|name| columns.iter().position(|(before, _)| before.to_lowercase() == name.to_lowercase()));
    let places = places.collect::<Option<Vec<_>>>();
    if names.len() != columns.len() {
        return Err(Error::new(Code::InvalidStatement, format!("files \"{first}\" and \"{file}\" have different columns"))
            .detail(format!("The first has {} columns, the second {}.", columns.len(), names.len()))
            .hint("Declare the columns, or put the files into directories of their own."));
    }
    for (idx, guess) in guesses.take(names.len()).enumerate() {
        let place = places.as_ref().map_or(idx, |places| places[idx]);
        columns[place].1.merge(guess);
    }
    Ok(())
}

async fn sample(store: &Arc<dyn ObjectStore>, file: &FoundFile, options: &TextOptions) -> Result<Sample> {
    let mut chunks = Chunks::open(store, &file.meta.location, &file.text).await?;
    let splitter = Splitter::new(options);
    let mut pending = Pending::default();
    let mut record = Record::default();
    let mut sample = Sample { names: None, guesses: Vec::new(), line: 1 };
    let (mut to_skip, mut header_is_next, mut n_rows) = (options.skip_lines, options.header, 0);
    while n_rows < ROWS_MAX {
        let rest = pending.rest();
        let step = if to_skip == 0 {
            splitter.next(rest, pending.at_end, &mut record)
        } else {
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    to_skip -= 1;
                    Step::Skipped { bytes: at + 1 }
                }
                None if pending.at_end => Step::End,
                None => Step::More,
            }
        };
        let broken = |why: &str| Error::new(Code::DataCorrupted, format!("file \"{}\", line {}: {why}", file.text, sample.line));
        let bytes = match step {
            Step::End => break,
            Step::More if rest.len() > RECORD_BYTES_MAX => return Err(broken("the record that begins here does not end")),
            Step::More => {
                pending.push(chunks.next().await?);
                continue;
            }
            Step::Broken(why) => return Err(broken(why).hint("Check the options 'quote' and 'delimiter'.")),
            Step::Skipped { bytes } => bytes,
            Step::Record { bytes } => {
                if header_is_next {
                    header_is_next = false;
                    sample.names = Some(header_names(&record, rest));
                } else {
                    add_record(&mut sample.guesses, &record, rest, options);
                    n_rows += 1;
                }
                bytes
            }
        };
        sample.line += rest[..bytes].iter().filter(|byte| **byte == b'\n').count() as u64;
        pending.consume(bytes);
    }
    Ok(sample)
}

fn add_record(guesses: &mut Vec<Guess>, record: &Record, input: &[u8], options: &TextOptions) {
    if guesses.len() < record.len() {
        guesses.resize_with(record.len(), Guess::default);
    }
    for (field_idx, guess) in guesses.iter_mut().enumerate().take(record.len()) {
        if record.raw(input, field_idx) != options.null_text.as_bytes() {
            guess.add(record.field(input, field_idx));
        }
    }
}
