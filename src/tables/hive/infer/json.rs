//! Columns of JSON files, nested ones too.

use super::guess::Guess;
use super::{FoundFile, ROWS_MAX};
use crate::error::Result;
use crate::tables::hive::chunk::Chunks;
use crate::tables::hive::format::{JsonOptions, JsonTimestamp};
use crate::tables::hive::json::{Kind, Scanner, kind, object_of_line, unquote};
use crate::tables::hive::line_source::Pending;
use datafusion::arrow::datatypes::{DataType, Field};
use object_store::ObjectStore;
use std::sync::Arc;

/// The type that all values so far have.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Only NULLs so far.
    Unknown,
    Bool,
    Number(Guess),
    Text(Guess),
    List(Box<Shape>),
    /// Members in the order of their first appearance.
    Struct(Vec<(String, Shape)>),
    /// Values that have no type in common: their text.
    Mixed,
}

/// Columns out of objects that come one by one; what is no object is passed over.
#[derive(Debug, Default)]
pub(crate) struct JsonSample {
    members: Vec<(String, Shape)>,
}

impl JsonSample {
    pub(crate) fn add(&mut self, text: &[u8]) {
        if let Ok(Some(object)) = object_of_line("sample", 1, text) {
            add_members(&mut self.members, object);
        }
    }

    /// Members in the order of their first appearance.
    pub(crate) fn fields(self, timestamp_format: JsonTimestamp) -> Vec<Field> {
        fields(self.members, timestamp_format)
    }
}

pub(super) async fn infer(store: &Arc<dyn ObjectStore>, files: &[FoundFile], options: &JsonOptions) -> Result<Vec<Field>> {
    let mut members = Vec::new();
    for file in files {
        sample(store, file, &mut members).await?;
    }
    Ok(fields(members, options.timestamp_format))
}

async fn sample(store: &Arc<dyn ObjectStore>, file: &FoundFile, members: &mut Vec<(String, Shape)>) -> Result<()> {
    let mut chunks = Chunks::open(store, &file.meta.location, &file.text).await?;
    let mut pending = Pending::default();
    let (mut line, mut n_rows) = (1, 0);
    while n_rows < ROWS_MAX {
        let rest = pending.rest();
        let (length, end) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at, at + 1),
            None if pending.at_end && rest.is_empty() => break,
            None if pending.at_end => (rest.len(), rest.len()),
            None => {
                pending.push(chunks.next().await?);
                continue;
            }
        };
        if let Some(object) = object_of_line(&file.text, line, &rest[..length])? {
            add_members(members, object);
            n_rows += 1;
        }
        pending.consume(end);
        line += 1;
    }
    Ok(())
}

fn add_members(members: &mut Vec<(String, Shape)>, object: &[u8]) {
    let mut scratch = Vec::new();
    // The scanner has passed over this text before: it cannot fail now.
    let _ = Scanner::new(object).members(|key, value| {
        let Some(Ok(key)) = unquote(key, &mut scratch).map(std::str::from_utf8) else { return };
        let place = members.iter().position(|(name, _)| name == key);
        let place = place.or_else(|| members.iter().position(|(name, _)| name.to_lowercase() == key.to_lowercase()));
        let place = place.unwrap_or_else(|| {
            members.push((key.to_string(), Shape::Unknown));
            members.len() - 1
        });
        let before = std::mem::replace(&mut members[place].1, Shape::Unknown);
        members[place].1 = before.with(value);
    });
}

impl Shape {
    /// This shape after one more value.
    fn with(self, value: &[u8]) -> Self {
        match (self, kind(value)) {
            (shape, Kind::Null) => shape,
            (Self::Mixed, _) => Self::Mixed,
            (Self::Unknown | Self::Bool, Kind::Bool) => Self::Bool,
            (shape @ (Self::Unknown | Self::Number(_)), Kind::Number) => {
                let mut guess = if let Self::Number(guess) = shape { guess } else { Guess::default() };
                guess.add(value);
                Self::Number(guess)
            }
            (shape @ (Self::Unknown | Self::Text(_)), Kind::Text) => {
                let mut guess = if let Self::Text(guess) = shape { guess } else { Guess::default() };
                let mut scratch = Vec::new();
                guess.add(unquote(value, &mut scratch).unwrap_or(b"-"));
                Self::Text(guess)
            }
            (shape @ (Self::Unknown | Self::List(_)), Kind::Array) => {
                let mut item = if let Self::List(item) = shape { *item } else { Self::Unknown };
                let _ = Scanner::new(value).items(|value| {
                    let before = std::mem::replace(&mut item, Self::Unknown);
                    item = before.with(value);
                });
                Self::List(Box::new(item))
            }
            (shape @ (Self::Unknown | Self::Struct(_)), Kind::Object) => {
                let mut members = if let Self::Struct(members) = shape { members } else { Vec::new() };
                add_members(&mut members, value);
                Self::Struct(members)
            }
            _ => Self::Mixed,
        }
    }

    fn data_type(self, timestamp_format: JsonTimestamp) -> DataType {
        match self {
            Self::Unknown | Self::Mixed => DataType::Utf8,
            Self::Bool => DataType::Boolean,
            // A whole number beyond BIGINT is still a number in JSON, but DOUBLE would change it: STRING.
            Self::Number(guess) => guess.data_type(),
            Self::Text(guess) => match guess.data_type() {
                DataType::Timestamp(..) if timestamp_format != JsonTimestamp::Iso8601 => DataType::Utf8,
                data_type @ (DataType::Date32 | DataType::Timestamp(..)) => data_type,
                _ => DataType::Utf8,
            },
            Self::List(item) => DataType::List(Arc::new(Field::new("item", item.data_type(timestamp_format), true))),
            // `{}` in every row: there is no struct without fields in SQL.
            Self::Struct(members) if members.is_empty() => DataType::Utf8,
            Self::Struct(members) => DataType::Struct(fields(members, timestamp_format).into()),
        }
    }
}

fn fields(members: Vec<(String, Shape)>, timestamp_format: JsonTimestamp) -> Vec<Field> {
    members.into_iter().map(|(name, shape)| Field::new(name, shape.data_type(timestamp_format), true)).collect()
}
