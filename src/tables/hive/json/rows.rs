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

/// A quoted key and its colon; the column of the key, and whether it is spelt exactly so.
type Place = (Vec<u8>, Option<(usize, bool)>);

/// Columns out of objects. One pass over each text; no allocation while objects look like the ones before.
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
            let value = &text[span.start..span.end];
            if misfit.is_some() {
                column.append_null();
            } else if column.append_token(value, span.token) {
                // The way of nearly all values.
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
        if scanner.is_at_end() {
            return Err("the record is empty");
        }
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err("the record is not a JSON object");
        }
        self.spans.fill(None);
        let (mut has_more, mut place) = (scanner.open_object()?, 0);
        while has_more {
            let found = match self.places.get(place) {
                Some((known, found)) if scanner.take_key(known) => *found,
                _ => {
                    let key = scanner.key()?;
                    self.learn(place, key)
                }
            };
            place += 1;
            let (range, token) = scanner.member_value()?;
            if let Some((idx, exact)) = found
                && (exact || !self.spans[idx].is_some_and(|span| span.exact))
            {
                self.spans[idx] = Some(Span { start: range.start, end: range.end, exact, token });
            }
            has_more = scanner.next_member()?;
        }
        if scanner.is_at_end() { Ok(()) } else { Err("more text follows the object") }
    }

    /// Finds the column of a key, and remembers it for the next object.
    fn learn(&mut self, place: usize, key: &[u8]) -> Option<(usize, bool)> {
        // It is the same key, before another colon.
        if let Some((known, found)) = self.places.get(place)
            && known.strip_suffix(b":") == Some(key)
        {
            return *found;
        }
        let mut scratch = Vec::new();
        let found = unquote(key, &mut scratch).and_then(|key| self.keys.find(key));
        if place < PLACES_MAX {
            self.places.truncate(place);
            self.places.push(([key, b":"].concat(), found));
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
