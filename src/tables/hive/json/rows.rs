//! Rows out of JSON objects that come one by one: the messages of a topic.

use super::builder::{BadValue, JsonColumn, KeyMap, OnBad};
use super::scanner::{Scanner, Token, unquote};
use crate::error::Result;
use crate::tables::hive::column::{BadText, RowMisfit, TimestampText, shorten};
use crate::tables::hive::format::JsonTimestamp;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{Field, FieldRef};

/// Keys are remembered by their place in the object up to here.
const PLACES_MAX: usize = 256;
/// .. when they and the blanks around them are no longer; one that is, and all behind it, are looked up in each object.
const PLACE_BYTES_MAX: usize = 256;

/// What led to a value at some place of the last object.
#[derive(Debug)]
struct Place {
    /// All that stood between the value before and this one: `{"key":` at first, then `,"key":`, with its blanks.
    before: Vec<u8>,
    /// The column of the key, and whether it is spelt exactly so.
    found: Option<(usize, bool)>,
}

/// Columns out of objects. One pass over each text; no allocation while objects look like the ones before.
#[derive(Debug)]
pub(crate) struct JsonRows {
    fields: Vec<FieldRef>,
    columns: Vec<JsonColumn>,
    keys: KeyMap,
    /// The places of the last object: most are like it, and one comparison leads from value to value.
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
    token: Token,
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
    pub(crate) fn push(&mut self, text: &str) -> Result<(), RowMisfit> {
        self.scan(text.as_bytes()).map_err(|why| RowMisfit::Broken(why.to_string()))?;
        let mut misfit = None;
        for (idx, column) in self.columns.iter_mut().enumerate() {
            let Some(span) = self.spans[idx] else {
                misfit = append_nothing(column, &self.fields[idx], misfit);
                continue;
            };
            // The way of nearly all values.
            if misfit.is_none() && column.append_token(text, span.start..span.end, span.token) {
                continue;
            }
            let value = &text[span.start..span.end];
            if misfit.is_some() {
                column.append_null();
            } else if value == "null" {
                misfit = append_nothing(column, &self.fields[idx], misfit);
            } else {
                let mut on_bad = match self.misfit_is_null && self.fields[idx].is_nullable() {
                    true => OnBad::Null(&mut self.n_nulled),
                    false => OnBad::Error,
                };
                misfit = column.append(value.as_bytes(), &mut on_bad).err().map(|bad| describe(&bad));
            }
        }
        misfit.map_or(Ok(()), |misfit| Err(RowMisfit::Value(misfit)))
    }

    /// Checks the text and notes where the value of each column lies. Of equal keys the last counts; one spelt exactly
    /// as the column counts more than one in another case.
    fn scan(&mut self, text: &[u8]) -> Result<(), &'static str> {
        let mut scanner = Scanner::new(text);
        self.spans.fill(None);
        for place in 0.. {
            let found = match self.places.get(place) {
                Some(known) if scanner.take_all(&known.before) => known.found,
                _ => {
                    let start = scanner.at();
                    let has_more = if place == 0 { open(&mut scanner, text)? } else { scanner.next_member()? };
                    if !has_more {
                        break;
                    }
                    let key = scanner.key()?;
                    self.learn(place, &text[start..scanner.at()], key)
                }
            };
            let (range, token) = scanner.member_value()?;
            if let Some((idx, exact)) = found
                && (exact || !self.spans[idx].is_some_and(|span| span.exact))
            {
                self.spans[idx] = Some(Span { start: range.start, end: range.end, exact, token });
            }
        }
        if scanner.is_at_end() { Ok(()) } else { Err("more text follows the object") }
    }

    /// Finds the column of a key, and remembers what led to it for the next object.
    fn learn(&mut self, place: usize, before: &[u8], key: &[u8]) -> Option<(usize, bool)> {
        let mut scratch = Vec::new();
        let found = unquote(key, &mut scratch).and_then(|key| self.keys.find(key));
        self.places.truncate(place);
        if self.places.len() == place && place < PLACES_MAX && before.len() <= PLACE_BYTES_MAX {
            self.places.push(Place { before: before.to_vec(), found });
        }
        found
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

/// Begins the one object of a record; `false`: it has no members.
fn open(scanner: &mut Scanner<'_>, text: &[u8]) -> Result<bool, &'static str> {
    if scanner.is_at_end() {
        return Err("the record is empty");
    }
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err("the record is not a JSON object");
    }
    scanner.open_object()
}

/// Appends NULL where a value is missing; what is wrong so far, or now.
fn append_nothing(column: &mut JsonColumn, field: &Field, misfit: Option<String>) -> Option<String> {
    column.append_null();
    match misfit {
        None if !field.is_nullable() => Some(format!("column \"{}\" is NOT NULL and has no value", field.name())),
        misfit => misfit,
    }
}

fn describe(bad: &BadValue) -> String {
    match bad.reason {
        BadText::Value => format!("column \"{}\" is {}, not of type {}", bad.path, shorten(&bad.text), bad.sql_type),
        BadText::Utf8 => format!("column \"{}\" is not valid UTF-8: {}", bad.path, shorten(&bad.text)),
    }
}
