//! User and item ids: any integer or string on the outside, dense numbers in the order of ids inside.

use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, UInt32Array};
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{HashMap, Result as QueryResult};
use std::sync::Arc;
use weir_functions::model::check_id_type;

/// The most distinct ids of a column: they are numbered by u32.
const IDS_MAX: usize = u32::MAX as usize - 1;

/// What a value is to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Null,
    Unknown,
    Known(u32),
}

/// An id of a value that need not be the model's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Id {
    Integer(i64),
    Text(Box<str>),
}

/// The ids of one side, ascending; the place of an id is its dense number.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    /// The column's name in the training query.
    pub column: String,
    /// The type in which ids are given out.
    pub data_type: DataType,
    values: Values,
}

#[derive(Debug, Clone)]
enum Values {
    Integers(Int64Array),
    Strings(StringArray),
}

impl Ids {
    /// Ids as stored: BIGINT or VARCHAR, ascending without NULL and duplicates; `None` when they are not.
    pub fn from_stored(column: String, data_type: DataType, stored: &ArrayRef) -> Option<Self> {
        let values = match stored.data_type() {
            _ if stored.null_count() > 0 => return None,
            DataType::Int64 if data_type.is_integer() => {
                let values = stored.as_primitive::<Int64Type>();
                values.values().is_sorted_by(|left, right| left < right).then(|| Values::Integers(values.clone()))?
            }
            DataType::Utf8 if data_type == DataType::Utf8 => {
                let values = stored.as_string::<i32>();
                values.iter().is_sorted_by(|left, right| left < right).then(|| Values::Strings(values.clone()))?
            }
            _ => return None,
        };
        Some(Self { column, data_type, values })
    }

    /// The ids as they are stored.
    pub fn stored(&self) -> ArrayRef {
        match &self.values {
            Values::Integers(values) => Arc::new(values.clone()),
            Values::Strings(values) => Arc::new(values.clone()),
        }
    }

    pub fn len(&self) -> usize {
        match &self.values {
            Values::Integers(values) => values.len(),
            Values::Strings(values) => values.len(),
        }
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::Integers(values) => values.get_array_memory_size(),
            Values::Strings(values) => values.get_array_memory_size(),
        }
    }

    /// The ids at these places, in the type of the column.
    pub fn at(&self, places: &UInt32Array) -> QueryResult<ArrayRef> {
        let ids = match &self.values {
            Values::Integers(values) => take(values, places, None)?,
            Values::Strings(values) => take(values, places, None)?,
        };
        Ok(if *ids.data_type() == self.data_type { ids } else { cast(&ids, &self.data_type)? })
    }

    /// Only the ids at these places (ascending).
    pub fn keep(&self, places: &UInt32Array) -> QueryResult<Self> {
        let values = match &self.values {
            Values::Integers(values) => Values::Integers(take(values, places, None)?.as_primitive::<Int64Type>().clone()),
            Values::Strings(values) => Values::Strings(take(values, places, None)?.as_string::<i32>().clone()),
        };
        Ok(Self { column: self.column.clone(), data_type: self.data_type.clone(), values })
    }

    /// The ids of an array, whether the model knows them or not; `None` for NULL and for what no column of ids can hold.
    pub fn outside(&self, array: &ArrayRef) -> QueryResult<Vec<Option<Id>>> {
        Ok(match &self.values {
            Values::Integers(_) => {
                cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().iter().map(|id| id.map(Id::Integer)).collect()
            }
            Values::Strings(_) => {
                cast(array, &DataType::Utf8)?.as_string::<i32>().iter().map(|id| id.map(|id| Id::Text(id.into()))).collect()
            }
        })
    }

    /// Such ids in the type in which the model stores its own.
    pub fn stored_of<'a>(&self, ids: impl Iterator<Item = &'a Id>) -> ArrayRef {
        match &self.values {
            Values::Integers(_) => Arc::new(ids.map(|id| if let Id::Integer(id) = id { Some(*id) } else { None }).collect::<Int64Array>()),
            Values::Strings(_) => Arc::new(ids.map(|id| if let Id::Text(id) = id { Some(id) } else { None }).collect::<StringArray>()),
        }
    }

    /// Looks values up; they may be of another width, or another kind of string.
    pub fn find(&self, array: &ArrayRef) -> QueryResult<Vec<Key>> {
        check_id_type(&self.column, &self.data_type, array.data_type())?;
        if array.data_type().is_null() {
            return Ok(vec![Key::Null; array.len()]);
        }
        // A cast that overflows (UINT64 above BIGINT) gives NULL, which is no NULL of the user's: an unknown id.
        let key = |row: usize, found: Option<usize>| match found {
            _ if array.is_null(row) => Key::Null,
            Some(place) => Key::Known(place as u32),
            None => Key::Unknown,
        };
        Ok(match &self.values {
            Values::Integers(known) => {
                let wanted = cast(array, &DataType::Int64)?;
                let wanted = wanted.as_primitive::<Int64Type>();
                wanted.iter().enumerate().map(|(row, id)| key(row, id.and_then(|id| known.values().binary_search(&id).ok()))).collect()
            }
            Values::Strings(known) => {
                let wanted = cast(array, &DataType::Utf8)?;
                let wanted = wanted.as_string::<i32>();
                wanted.iter().enumerate().map(|(row, id)| key(row, id.and_then(|id| search(known, id)))).collect()
            }
        })
    }
}

/// Different ids of an array, numbered in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Numbered {
    /// By number: the first row that has it.
    pub first_rows: Vec<u32>,
    /// By row; `None` for NULL.
    pub codes: Vec<Option<u32>>,
}

impl Ids {
    /// Numbers the different ids of an array, known to the model or not.
    pub fn numbered(&self, array: &ArrayRef) -> QueryResult<Numbered> {
        let keys = self.find(array)?;
        let text = cast(array, &DataType::Utf8)?;
        let text = text.as_string::<i32>();
        let mut known: HashMap<&str, u32> = HashMap::new();
        let mut numbered = Numbered::default();
        for (row, key) in keys.into_iter().enumerate() {
            if key == Key::Null {
                numbered.codes.push(None);
                continue;
            }
            let next = numbered.first_rows.len() as u32;
            let code = *known.entry(text.value(row)).or_insert(next);
            if code == next {
                numbered.first_rows.push(row as u32);
            }
            numbered.codes.push(Some(code));
        }
        Ok(numbered)
    }
}

fn search(known: &StringArray, id: &str) -> Option<usize> {
    let (mut low, mut high) = (0, known.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match known.value(middle).cmp(id) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

/// Numbers ids in the order in which they arrive, batch by batch; [`IdEncoder::finish`] sorts them.
#[derive(Debug)]
pub(super) struct IdEncoder {
    column: String,
    data_type: DataType,
    known: Known,
}

#[derive(Debug)]
enum Known {
    Integers(Integers),
    Strings(HashMap<Box<str>, u32>),
}

/// Integers from 0 below this are looked up in a table, which most ids of most data are; others by hash.
const TABLE_MAX: i64 = 1 << 22;
/// No number yet.
const FREE: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Integers {
    /// The number of the id at its place.
    table: Vec<u32>,
    others: HashMap<i64, u32>,
    /// By number.
    ids: Vec<i64>,
}

impl Integers {
    fn code(&mut self, id: i64) -> u32 {
        let next = self.ids.len() as u32;
        let code = if (0..TABLE_MAX).contains(&id) {
            let place = id as usize;
            if place >= self.table.len() {
                self.table.resize((place + 1).next_power_of_two(), FREE);
            }
            let code = &mut self.table[place];
            if *code == FREE {
                *code = next;
            }
            *code
        } else {
            *self.others.entry(id).or_insert(next)
        };
        if code == next {
            self.ids.push(id);
        }
        code
    }

    fn bytes(&self) -> usize {
        self.table.capacity() * size_of::<u32>() + self.others.capacity() * 17 + self.ids.capacity() * size_of::<i64>()
    }
}

impl IdEncoder {
    /// For a column whose type is an integer or a string ([`weir_functions::model::id_kind`]).
    pub fn new(column: &str, data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Dictionary(_, values) => values,
            other => other,
        };
        let (data_type, known) = if values.is_integer() {
            (values.clone(), Known::Integers(Integers::default()))
        } else {
            (DataType::Utf8, Known::Strings(HashMap::new()))
        };
        Self { column: column.to_owned(), data_type, known }
    }

    /// Appends the numbers of a batch's ids to `codes`; `first_row` counts from 1, for messages.
    pub fn encode(&mut self, array: &ArrayRef, first_row: u64, codes: &mut Vec<u32>) -> Result<()> {
        let place_error = |row: usize, is: &str| {
            let what = format!("column \"{}\" is {is} in row {} of the training query", self.column, first_row + row as u64);
            Error::new(Code::InvalidValue, what)
        };
        if array.null_count() > 0 {
            let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
            return Err(place_error(row, "NULL").hint(format!("Add WHERE \"{}\" IS NOT NULL to the training query.", self.column)));
        }
        let wanted_type = if matches!(self.known, Known::Integers(_)) { DataType::Int64 } else { DataType::Utf8 };
        let ids = cast(array, &wanted_type).map_err(|error| Error::internal(format!("could not read ids: {error}")))?;
        if ids.null_count() > 0 {
            let row = (0..ids.len()).find(|row| ids.is_null(*row)).unwrap_or(0);
            return Err(place_error(row, "larger than a BIGINT"));
        }
        codes.reserve(ids.len());
        match &mut self.known {
            Known::Integers(known) => codes.extend(ids.as_primitive::<Int64Type>().values().iter().map(|id| known.code(*id))),
            Known::Strings(known) => {
                for id in ids.as_string::<i32>().iter().flatten() {
                    let next = known.len() as u32;
                    // Looked up before inserted: most ids are known, and need no copy.
                    codes.push(match known.get(id) {
                        Some(code) => *code,
                        None => *known.entry(id.into()).or_insert(next),
                    });
                }
            }
        }
        if self.len() > IDS_MAX {
            return Err(Error::new(Code::LimitExceeded, format!("column \"{}\" has more than {IDS_MAX} different values", self.column)));
        }
        Ok(())
    }

    pub fn len(&self) -> usize {
        match &self.known {
            Known::Integers(known) => known.ids.len(),
            Known::Strings(known) => known.len(),
        }
    }

    /// Memory in bytes, roughly.
    pub fn bytes(&self) -> usize {
        match &self.known {
            Known::Integers(known) => known.bytes(),
            // What most allocators take for a short string, and the entry.
            Known::Strings(known) => known.capacity() * 25 + known.len() * 32,
        }
    }

    /// The ids in order, and for each number given out its place among them.
    pub fn finish(self) -> Result<(Ids, Vec<u32>)> {
        let mut places = vec![0u32; self.len()];
        let values = match self.known {
            Known::Integers(known) => {
                let mut sorted: Vec<(i64, u32)> = known.ids.into_iter().zip(0..).collect();
                sorted.sort_unstable();
                for (place, (_, code)) in sorted.iter().enumerate() {
                    places[*code as usize] = place as u32;
                }
                Values::Integers(sorted.iter().map(|(id, _)| *id).collect::<Vec<_>>().into())
            }
            Known::Strings(known) => {
                let bytes: usize = known.keys().map(|id| id.len()).sum();
                if i32::try_from(bytes).is_err() {
                    let what = format!("the ids of column \"{}\" take {bytes} bytes together, more than 2 GiB", self.column);
                    return Err(Error::new(Code::LimitExceeded, what).hint("Use shorter ids, such as numbers."));
                }
                let mut sorted: Vec<(Box<str>, u32)> = known.into_iter().collect();
                sorted.sort_unstable();
                for (place, (_, code)) in sorted.iter().enumerate() {
                    places[*code as usize] = place as u32;
                }
                Values::Strings(StringArray::from_iter_values(sorted.iter().map(|(id, _)| id)))
            }
        };
        Ok((Ids { column: self.column, data_type: self.data_type, values }, places))
    }
}
