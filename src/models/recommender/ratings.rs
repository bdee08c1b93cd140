//! The rows of a training query as ratings: ids numbered, values checked, memory reserved.
//!
//! While rows arrive a rating takes 12 bytes (user, item, value), and 8 more when a column decides the split. What
//! follows takes at most [`FIT_BYTES`] per rating at any time; it is reserved before it begins.

use super::columns::Columns;
use super::fit::RunError;
use super::ids::{IdEncoder, Ids};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type, SchemaRef};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use std::sync::Arc;
use weir_ml::als::{AlsError, Csr};
use weir_ml::split::Arrivals;

/// Bytes of a rating while rows are read.
const READ_BYTES: usize = 12;
/// Bytes of a rating when the matrix is built and while factors are fitted: the matrix, its split and its
/// transposition, or the rows as they arrived and two steps of sorting them.
const FIT_BYTES: usize = 32;
/// Bytes of what decides the split of a rating, and of bringing it to the order of the matrix.
const SPLIT_READ_BYTES: usize = 8;
const SPLIT_FIT_BYTES: usize = 24;
/// The reservation grows in such steps.
const STEP_BYTES: usize = 16 << 20;

/// The memory of one training, taken from the server's pool; given back when dropped.
#[derive(Debug)]
pub(super) struct TrainingMemory {
    name: String,
    reservation: MemoryReservation,
}

impl TrainingMemory {
    pub fn new(name: &str, pool: &Arc<dyn MemoryPool>) -> Self {
        Self { name: name.to_owned(), reservation: MemoryConsumer::new(format!("training of model {name}")).register(pool) }
    }

    /// Holds at least so many bytes.
    ///
    /// # Errors
    /// `LimitExceeded` when the pool has not so many.
    pub fn hold(&mut self, bytes: usize) -> Result<()> {
        if bytes <= self.reservation.size() {
            return Ok(());
        }
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        self.reservation.try_resize(wanted).map_err(|error| {
            let what = format!("training of model \"{}\" needs {} MiB of memory, more than is free", self.name, wanted >> 20);
            Error::new(Code::LimitExceeded, what)
                .detail(format!("{}.", error.to_string().trim_end_matches('.').lines().next().unwrap_or_default()))
                .hint("Train on fewer rows, or ask the administrator for more 'limits.memory'.")
        })
    }
}

/// What decides which rows are held out, in the order of rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Marks {
    None,
    /// Later ones are held out first.
    Times(Vec<i64>),
    HeldOut(Vec<bool>),
}

impl Marks {
    fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// In the order of the matrix.
    fn at_places(self, arrivals: &Arrivals) -> Result<Self, AlsError> {
        Ok(match self {
            Self::None => Self::None,
            Self::Times(times) => Self::Times(arrivals.at_places(&times)?),
            Self::HeldOut(marks) => Self::HeldOut(arrivals.at_places(&marks)?),
        })
    }
}

/// The rows read so far, ids numbered as they come.
pub(super) struct Ratings {
    columns: Columns,
    rating_column: Option<String>,
    users: IdEncoder,
    items: IdEncoder,
    user_codes: Vec<u32>,
    item_codes: Vec<u32>,
    values: Vec<f32>,
    marks: Marks,
}

/// Ids in order and the ratings as a matrix: nothing depends on the order of rows any more.
pub(super) struct Data {
    pub users: Ids,
    pub items: Ids,
    pub rating_column: Option<String>,
    pub ratings: Csr,
    /// By place of the matrix.
    pub marks: Marks,
}

impl Ratings {
    pub fn new(columns: Columns, schema: &SchemaRef) -> Self {
        let encoder = |place: usize| IdEncoder::new(schema.field(place).name(), schema.field(place).data_type());
        let marks = match columns.split.map(|place| schema.field(place).data_type()) {
            None => Marks::None,
            Some(DataType::Boolean) => Marks::HeldOut(Vec::new()),
            Some(_) => Marks::Times(Vec::new()),
        };
        Self {
            columns,
            rating_column: columns.rating.map(|place| schema.field(place).name().clone()),
            users: encoder(columns.user),
            items: encoder(columns.item),
            user_codes: Vec::new(),
            item_codes: Vec::new(),
            values: Vec::new(),
            marks,
        }
    }

    /// The number of rows added.
    pub fn n_rows(&self) -> usize {
        self.values.len()
    }

    /// Adds a batch; `memory` grows with it.
    pub fn add(&mut self, batch: &RecordBatch, memory: &mut TrainingMemory) -> Result<()> {
        const QUERY: &str = "the training query";
        let per_rating = READ_BYTES + if self.marks.is_none() { 0 } else { SPLIT_READ_BYTES };
        memory.hold((self.n_rows() + batch.num_rows()) * per_rating + self.users.bytes() + self.items.bytes())?;
        let first_row = self.values.len() as u64 + 1;
        self.users.encode(batch.column(self.columns.user), first_row, &mut self.user_codes)?;
        self.items.encode(batch.column(self.columns.item), first_row, &mut self.item_codes)?;
        match self.columns.rating {
            Some(rating) => ratings_of(batch, rating, QUERY, first_row, &mut self.values)?,
            None => self.values.resize(self.values.len() + batch.num_rows(), 1.0),
        }
        let Some(place) = self.columns.split else { return Ok(()) };
        let array = batch.column(place);
        match &mut self.marks {
            Marks::None => {}
            // NULL is held out, as in BigQuery.
            Marks::HeldOut(marks) => marks.extend(array.as_boolean().iter().map(|mark| mark.unwrap_or(true))),
            Marks::Times(times) => times_of(array, batch.schema_ref().field(place).name(), first_row, times)?,
        }
        Ok(())
    }

    /// Bytes that the fit of these ratings takes, with `n_models` factor models of a rank at a time.
    pub fn fit_bytes(&self, rank: usize, n_models: usize) -> usize {
        let per_rating = FIT_BYTES + if self.marks.is_none() { 0 } else { SPLIT_FIT_BYTES };
        let factors = (self.users.len() + self.items.len()) * rank * size_of::<f32>() * n_models;
        self.n_rows() * per_rating + factors + self.users.bytes() + self.items.bytes()
    }

    /// Ids in order, and the ratings as a matrix: nothing depends on the order of rows any more.
    pub fn finish(self) -> Result<Data, RunError> {
        let Self { rating_column, users, items, mut user_codes, mut item_codes, values, marks, .. } = self;
        let (users, user_places) = users.finish()?;
        let (items, item_places) = items.finish()?;
        user_codes.iter_mut().for_each(|code| *code = user_places[*code as usize]);
        item_codes.iter_mut().for_each(|code| *code = item_places[*code as usize]);
        let marks = if marks.is_none() {
            marks
        } else {
            marks.at_places(&Arrivals::new(users.len(), items.len(), &user_codes, &item_codes, &values)?)?
        };
        let ratings = Csr::new(users.len(), items.len(), &user_codes, &item_codes, &values)?;
        Ok(Data { users, items, rating_column, ratings, marks })
    }
}

/// Appends a batch's ratings; `query` and `first_row` (from 1) are for messages.
pub(super) fn ratings_of(batch: &RecordBatch, column: usize, query: &str, first_row: u64, ratings: &mut Vec<f32>) -> Result<()> {
    let schema = batch.schema_ref();
    let name = schema.field(column).name();
    let wrong = |row: usize, is: &str| {
        Error::new(Code::InvalidValue, format!("column \"{name}\" is {is} in row {} of {query}", first_row + row as u64))
    };
    let array = batch.column(column);
    if array.null_count() > 0 {
        let row = (0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0);
        return Err(wrong(row, "NULL").hint(format!("Add WHERE \"{name}\" IS NOT NULL to the query.")));
    }
    let values = cast(array, &DataType::Float64).map_err(|error| Error::internal(format!("could not read ratings: {error}")))?;
    ratings.reserve(values.len());
    for (row, value) in values.as_primitive::<Float64Type>().values().iter().enumerate() {
        let rating = *value as f32;
        if !rating.is_finite() {
            let is = if value.is_finite() { format!("{value}, too large for a rating") } else { value.to_string() };
            return Err(wrong(row, &is).hint("Leave such rows out of the query."));
        }
        ratings.push(rating);
    }
    Ok(())
}

/// Appends times (or any numbers) as integers of the same order.
fn times_of(array: &ArrayRef, name: &str, first_row: u64, times: &mut Vec<i64>) -> Result<()> {
    let unreadable = |error| Error::internal(format!("could not read the column of the split: {error}"));
    let wrong = |row: usize, is: &str| {
        let what = format!("column \"{name}\" is {is} in row {} of the training query", first_row + row as u64);
        Error::new(Code::InvalidValue, what).hint("Leave such rows out of the query.")
    };
    if array.null_count() > 0 {
        return Err(wrong((0..array.len()).find(|row| array.is_null(*row)).unwrap_or(0), "NULL"));
    }
    let data_type = array.data_type();
    if data_type.is_floating() || data_type.is_decimal() {
        let numbers = cast(array, &DataType::Float64).map_err(unreadable)?;
        for (row, number) in numbers.as_primitive::<Float64Type>().values().iter().enumerate() {
            if number.is_nan() {
                return Err(wrong(row, "NaN"));
            }
            // The order of the bits is that of the numbers; those below zero are turned round.
            let bits = (number + 0.0).to_bits().cast_signed();
            times.push(if bits < 0 { i64::MIN ^ !bits } else { bits });
        }
        return Ok(());
    }
    let integers = match data_type {
        DataType::Date32 | DataType::Time32(_) => cast(&cast(array, &DataType::Int32).map_err(unreadable)?, &DataType::Int64),
        _ => cast(array, &DataType::Int64),
    };
    let integers = integers.map_err(unreadable)?;
    if integers.null_count() > 0 {
        return Err(wrong((0..integers.len()).find(|row| integers.is_null(*row)).unwrap_or(0), "larger than a BIGINT"));
    }
    times.extend_from_slice(integers.as_primitive::<Int64Type>().values());
    Ok(())
}
