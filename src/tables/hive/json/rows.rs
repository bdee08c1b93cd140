//! Rows out of JSON objects that come one by one: the messages of a topic.

use super::builder::{BadValue, JsonColumn, KeyMap, OnBad};
use super::scanner::{Scanner, unquote};
use crate::error::Result;
use crate::tables::hive::column::{BadText, RowMisfit, TimestampText, shorten};
use crate::tables::hive::format::JsonTimestamp;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::FieldRef;

/// Keys are remembered by their place in the object up to here.
const PLACES_MAX: usize = 256;

/// Columns out of objects. One pass over each text; no allocation while objects look like the ones before.
/// A quoted key, its column, and whether it is spelt exactly so.
type Place = (Vec<u8>, Option<(usize, bool)>);

#[derive(Debug)]
pub(crate) struct JsonRows {
    fields: Vec<FieldRef>,
    columns: Vec<JsonColumn>,
    keys: KeyMap,
    /// What the key at each place of the last object was.
    places: Vec<Place>,
    /// Where the value of each column lies in the text.
    spans: Vec<Option<Span>>,
    misfit_is_null: bool,
    n_nulled: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    exact: bool,
}

impl JsonRows {
    /// Rows with the given columns; `misfit_is_null`: a value that does not fit becomes NULL and is counted.
    pub(crate) fn new(fields: Vec<FieldRef>, timestamps: JsonTimestamp, misfit_is_null: bool) -> Result<Self> {
        let timestamps = match timestamps {
            JsonTimestamp::Iso8601 => TimestampText::Iso,
            JsonTimestamp::EpochMs => TimestampText::Epoch(1_000),
            JsonTimestamp::EpochS => TimestampText::Epoch(1_000_000),
        };
        Ok(Self {
            columns: fields.iter().map(|field| JsonColumn::new(field, &timestamps)).collect::<Result<_>>()?,
            keys: KeyMap::new(fields.iter().map(|field| field.name().as_str())),
            places: Vec::new(),
            spans: vec![None; fields.len()],
            fields,
            misfit_is_null,
            n_nulled: 0,
        })
    }

    /// Appends the one object of `text`.
    pub(crate) fn push(&mut self, text: &[u8]) -> Result<(), RowMisfit> {
        self.scan(text).map_err(|why| RowMisfit::Broken(why.to_string()))?;
        let mut misfit = None;
        for (idx, column) in self.columns.iter_mut().enumerate() {
            let value = self.spans[idx].map(|span| &text[span.start..span.end]);
            match value {
                Some(_) if misfit.is_some() => column.append_null(),
                None | Some(b"null") => {
                    column.append_null();
                    if !self.fields[idx].is_nullable() && misfit.is_none() {
                        misfit = Some(format!("column \"{}\" is NOT NULL and has no value", self.fields[idx].name()));
                    }
                }
                Some(value) => {
                    let mut on_bad = match self.misfit_is_null && self.fields[idx].is_nullable() {
                        true => OnBad::Null(&mut self.n_nulled),
                        false => OnBad::Error,
                    };
                    misfit = column.append(value, &mut on_bad).err().map(|bad| describe(&bad));
                }
            }
        }
        misfit.map_or(Ok(()), |misfit| Err(RowMisfit::Value(misfit)))
    }

    /// Checks the text and notes where the value of each column lies. Of equal keys the last counts; one spelt exactly
    /// as the column counts more than one in another case.
    fn scan(&mut self, text: &[u8]) -> Result<(), &'static str> {
        let mut scanner = Scanner::new(text);
        if scanner.is_at_end() {
            return Err("the record is empty");
        }
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err("the record is not a JSON object");
        }
        self.spans.fill(None);
        let (keys, places, spans) = (&self.keys, &mut self.places, &mut self.spans);
        let mut place = 0;
        let base = text.as_ptr() as usize;
        scanner.members(|key, value| {
            let found = match places.get(place) {
                Some((known, found)) if known.as_slice() == key => *found,
                _ => {
                    let mut scratch = Vec::new();
                    let found = unquote(key, &mut scratch).and_then(|key| keys.find(key));
                    if place < PLACES_MAX {
                        places.truncate(place);
                        places.push((key.to_vec(), found));
                    }
                    found
                }
            };
            place += 1;
            let Some((idx, exact)) = found else { return };
            if exact || !spans[idx].is_some_and(|span| span.exact) {
                let start = value.as_ptr() as usize - base;
                spans[idx] = Some(Span { start, end: start + value.len(), exact });
            }
        })?;
        if scanner.is_at_end() { Ok(()) } else { Err("more text follows the object") }
    }

    /// The columns so far, rows without meaning among them.
    pub(crate) fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.columns.iter_mut().map(JsonColumn::finish).collect()
    }

    /// How many values became NULL since the last call.
    pub(crate) fn take_nulled(&mut self) -> usize {
        std::mem::take(&mut self.n_nulled)
    }
}

fn describe(bad: &BadValue) -> String {
    match bad.reason {
        BadText::Value => format!("column \"{}\" is {}, not of type {}", bad.path, shorten(&bad.text), bad.sql_type),
        BadText::Utf8 => format!("column \"{}\" is not valid UTF-8: {}", bad.path, shorten(&bad.text)),
    }
}
