//! Columns out of JSON values, nested ones too.

use super::scanner::{Kind, Scanner, Token, kind, unquote};
use crate::error::{Code, Error, Result};
use crate::tables::hive::column::{BadText, ColumnBuilder, TimestampText, sql_type};
use datafusion::arrow::array::{ArrayRef, ListArray, MapArray, NullBufferBuilder, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::arrow::error::ArrowError;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// A value that does not fit: where, what type was wanted, and the text.
#[derive(Debug)]
pub(super) struct BadValue {
    /// `a.b[].c`.
    pub(super) path: String,
    pub(super) sql_type: String,
    pub(super) text: Vec<u8>,
    pub(super) reason: BadText,
}

/// What to do with a value that does not fit.
pub(super) enum OnBad<'a> {
    /// Make it NULL and count it.
    Null(&'a mut usize),
    Error,
}

/// Finds a column by the key of an object: exactly first, then without regard to case.
#[derive(Debug)]
pub(super) struct KeyMap {
    exact: HashMap<Vec<u8>, usize>,
    lower: HashMap<String, usize>,
}

impl KeyMap {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut map = Self { exact: HashMap::new(), lower: HashMap::new() };
        for (idx, name) in names.enumerate() {
            map.exact.insert(name.as_bytes().to_vec(), idx);
            map.lower.entry(name.to_lowercase()).or_insert(idx);
        }
        map
    }

    /// The column and whether the key is spelt exactly as it.
    pub(super) fn find(&self, key: &[u8]) -> Option<(usize, bool)> {
        if let Some(idx) = self.exact.get(key) {
            return Some((*idx, true));
        }
        let idx = self.lower.get(&std::str::from_utf8(key).ok()?.to_lowercase())?;
        Some((*idx, false))
    }

    /// The value of each column in an object that the scanner has checked. Of equal keys the last counts, as in
    /// most readers; one spelt exactly counts more than one in another case.
    pub(super) fn spread<'a>(&self, object: &'a [u8], values: &mut [Option<(&'a [u8], bool)>]) -> Result<(), &'static str> {
        values.fill(None);
        let mut scratch = Vec::new();
        Scanner::new(object).members(|key, value| {
            let Some((idx, exact)) = unquote(key, &mut scratch).and_then(|key| self.find(key)) else { return };
            if exact || !values[idx].is_some_and(|(_, exact)| exact) {
                values[idx] = Some((value, exact));
            }
        })
    }
}

/// The values of one column so far.
#[derive(Debug)]
pub(super) struct JsonColumn {
    name: String,
    data_type: DataType,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Scalar(Box<ColumnBuilder>),
    Struct { fields: Fields, keys: KeyMap, children: Vec<JsonColumn>, nulls: NullBufferBuilder },
    List { item: FieldRef, child: Box<JsonColumn>, offsets: Vec<i32>, nulls: NullBufferBuilder },
    Map { entries: FieldRef, key: Box<JsonColumn>, value: Box<JsonColumn>, offsets: Vec<i32>, nulls: NullBufferBuilder, sorted: bool },
}

impl JsonColumn {
    pub(super) fn new(field: &Field, timestamps: &TimestampText) -> Result<Self> {
        let shape = match field.data_type() {
            DataType::Struct(fields) => Shape::Struct {
                keys: KeyMap::new(fields.iter().map(|field| field.name().as_str())),
                children: fields.iter().map(|field| Self::new(field, timestamps)).collect::<Result<_>>()?,
                fields: fields.clone(),
                nulls: NullBufferBuilder::new(0),
            },
            DataType::List(item) => Shape::List {
                child: Box::new(Self::new(item, timestamps)?),
                item: Arc::clone(item),
                offsets: vec![0],
                nulls: NullBufferBuilder::new(0),
            },
            DataType::Map(entries, sorted) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Shape::Map {
                    key: Box::new(Self::new(&pair[0], timestamps)?),
                    value: Box::new(Self::new(&pair[1], timestamps)?),
                    entries: Arc::clone(entries),
                    offsets: vec![0],
                    nulls: NullBufferBuilder::new(0),
                    sorted: *sorted,
                },
                _ => return Err(Error::internal("a map without entries")),
            },
            _ => Shape::Scalar(Box::new(ColumnBuilder::new(field, timestamps, "JSON")?)),
        };
        Ok(Self { name: field.name().clone(), data_type: field.data_type().clone(), shape })
    }

    pub(super) fn append_null(&mut self) {
        match &mut self.shape {
            Shape::Scalar(builder) => builder.append_null(),
            Shape::Struct { children, nulls, .. } => {
                children.iter_mut().for_each(Self::append_null);
                nulls.append_null();
            }
            Shape::List { offsets, nulls, .. } | Shape::Map { offsets, nulls, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default());
                nulls.append_null();
            }
        }
    }

    /// Appends the value that lies at `span` of `text` by what the scanner knows of it. `false`: nothing was appended,
    /// [`Self::append`] must look at it.
    #[inline(always)]
    pub(super) fn append_token(&mut self, text: &str, span: Range<usize>, token: Token) -> bool {
        let Shape::Scalar(builder) = &mut self.shape else { return false };
        match token {
            Token::Number { mantissa, n_decimals } => builder.append_number(mantissa, n_decimals),
            // Without its quotes.
            Token::PlainText => text.get(span.start + 1..span.end - 1).is_some_and(|text| builder.append_text(text)),
            Token::Other => false,
        }
    }

    /// Appends a value that the scanner has checked. One that does not fit leaves a value of no meaning: the caller
    /// gives up the row, or everything.
    pub(super) fn append(&mut self, value: &[u8], on_bad: &mut OnBad<'_>) -> Result<(), BadValue> {
        if kind(value) == Kind::Null {
            self.append_null();
            return Ok(());
        }
        match (self.append_value(value, on_bad), on_bad) {
            (Ok(()), _) => Ok(()),
            (Err(Misfit::Within(bad)), _) => Err(bad),
            (Err(Misfit::Whole(_)), OnBad::Null(count)) => {
                **count += 1;
                self.append_null();
                Ok(())
            }
            (Err(Misfit::Whole(reason)), OnBad::Error) => {
                self.append_null();
                Err(BadValue { path: self.name.clone(), sql_type: sql_type(&self.data_type), text: value.to_vec(), reason })
            }
        }
    }

    fn append_value(&mut self, value: &[u8], on_bad: &mut OnBad<'_>) -> Result<(), Misfit> {
        let mut misfit = None;
        match (&mut self.shape, kind(value)) {
            (Shape::Scalar(builder), _) => append_scalar(builder, value)?,
            (Shape::Struct { keys, children, nulls, .. }, Kind::Object) => {
                let mut values = vec![None; children.len()];
                keys.spread(value, &mut values).map_err(|_| BadText::Value)?;
                for (child, value) in children.iter_mut().zip(values) {
                    match value {
                        Some((value, _)) if misfit.is_none() => {
                            misfit = child.append(value, on_bad).err().map(|bad| bad.under(&self.name, "."));
                        }
                        _ => child.append_null(),
                    }
                }
                nulls.append_non_null();
            }
            (Shape::List { child, offsets, nulls, .. }, Kind::Array) => {
                let mut items = Vec::new();
                Scanner::new(value).items(|item| items.push(item)).map_err(|_| BadText::Value)?;
                next_offset(offsets, items.len())?;
                let mut n_items = 0;
                for item in items {
                    n_items += 1;
                    if let Err(bad) = child.append(item, on_bad) {
                        misfit = Some(BadValue { path: format!("{}[]", self.name), ..bad });
                        break;
                    }
                }
                offsets.push(next_offset(offsets, n_items)?);
                nulls.append_non_null();
            }
            (Shape::Map { key: keys, value: map_values, offsets, nulls, .. }, Kind::Object) => {
                let mut pairs = Vec::new();
                Scanner::new(value).members(|key, value| pairs.push((key, value))).map_err(|_| BadText::Value)?;
                next_offset(offsets, pairs.len())?;
                let mut n_pairs = 0;
                for (key, value) in pairs {
                    // A key that does not fit leaves nothing: keys are never NULL.
                    if let Err(bad) = keys.append_key(key) {
                        misfit = Some(bad.under(&self.name, "."));
                        break;
                    }
                    n_pairs += 1;
                    if let Err(bad) = map_values.append(value, on_bad) {
                        misfit = Some(bad.under(&self.name, "."));
                        break;
                    }
                }
                offsets.push(next_offset(offsets, n_pairs)?);
                nulls.append_non_null();
            }
            _ => return Err(Misfit::Whole(BadText::Value)),
        }
        misfit.map_or(Ok(()), |bad| Err(Misfit::Within(bad)))
    }

    /// Appends the key of a map, or nothing at all.
    fn append_key(&mut self, key: &[u8]) -> Result<(), BadValue> {
        let done = match &mut self.shape {
            Shape::Scalar(builder) => append_scalar(builder, key),
            _ => Err(BadText::Value),
        };
        done.map_err(|reason| BadValue { path: self.name.clone(), sql_type: sql_type(&self.data_type), text: key.to_vec(), reason })
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let wrong = |error: ArrowError| Error::new(Code::DataCorrupted, format!("column does not add up: {error}"));
        Ok(match &mut self.shape {
            Shape::Scalar(builder) => builder.finish(),
            Shape::Struct { fields, children, nulls, .. } => {
                let len = nulls.len();
                let arrays = children.iter_mut().map(Self::finish).collect::<Result<_>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls.finish(), len).map_err(wrong)?)
            }
            Shape::List { item, child, offsets, nulls } => {
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(ListArray::try_new(Arc::clone(item), offsets, child.finish()?, nulls.finish()).map_err(wrong)?)
            }
            Shape::Map { entries, key, value, offsets, nulls, sorted } => {
                let DataType::Struct(pair) = entries.data_type() else { return Err(Error::internal("a map without entries")) };
                let pairs = StructArray::try_new(pair.clone(), vec![key.finish()?, value.finish()?], None).map_err(wrong)?;
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, vec![0]).into());
                Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls.finish(), *sorted).map_err(wrong)?)
            }
        })
    }
}

impl BadValue {
    fn under(mut self, parent: &str, joint: &str) -> Self {
        self.path = format!("{parent}{joint}{}", self.path);
        self
    }
}

/// Why [`JsonColumn::append_value`] did not append all.
enum Misfit {
    /// Nothing was appended.
    Whole(BadText),
    /// A value was appended, without meaning from some place in it on.
    Within(BadValue),
}

impl From<BadText> for Misfit {
    fn from(reason: BadText) -> Self {
        Self::Whole(reason)
    }
}

/// Offsets have 31 bits; batches end long before.
fn next_offset(offsets: &[i32], count: usize) -> Result<i32, BadText> {
    let count = i32::try_from(count).map_err(|_| BadText::Value)?;
    offsets.last().copied().unwrap_or_default().checked_add(count).ok_or(BadText::Value)
}

fn append_scalar(builder: &mut ColumnBuilder, value: &[u8]) -> Result<(), BadText> {
    let mut scratch = Vec::new();
    match kind(value) {
        Kind::Text => builder.append(unquote(value, &mut scratch).ok_or(BadText::Utf8)?),
        // A text column takes any value as it is written.
        _ if builder.is_text() => builder.append(value),
        Kind::Number => match builder {
            ColumnBuilder::Boolean(_) | ColumnBuilder::Date(_) => Err(BadText::Value),
            _ => builder.append(value),
        },
        Kind::Bool => match builder {
            ColumnBuilder::Boolean(_) => builder.append(value),
            _ => Err(BadText::Value),
        },
        Kind::Null | Kind::Array | Kind::Object => Err(BadText::Value),
    }
}
