//! Labels of any type as classes, and as numbers.

use super::columns::{self, wrong_value};
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, Int8Array, Scalar};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric::add;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::common::HashMap;
use std::sync::Arc;

/// The most classes of a classifier: with more, a label is a measure or a name.
const CLASSES_MAX: usize = 256;

/// Numbers the values of a label column as they come.
#[derive(Debug)]
pub(super) struct ClassEncoder {
    column: String,
    /// The type of the classes: that of the column without its dictionary.
    data_type: DataType,
    converter: RowConverter,
    places: HashMap<Box<[u8]>, u32>,
    pub codes: Vec<u32>,
}

impl ClassEncoder {
    /// For a column of the query of `model`.
    ///
    /// # Errors
    /// `InvalidStatement` for a type that has no order.
    pub fn new(model: &str, field: &Field) -> Result<Self> {
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            DataType::RunEndEncoded(_, values) => values.data_type().clone(),
            other => other.clone(),
        };
        let unusable = || columns::wrong_type(&format!("model \"{model}\""), field, "a text, a number, a boolean or a date to be a label");
        if data_type.is_nested() || data_type == DataType::Null {
            return Err(unusable());
        }
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())]).map_err(|_| unusable())?;
        Ok(Self { column: field.name().clone(), data_type, converter, places: HashMap::new(), codes: Vec::new() })
    }

    /// Appends a batch; `first_row` (from 1) is for messages.
    ///
    /// # Errors
    /// `InvalidValue` for NULL, NaN and infinite labels, and for too many classes.
    pub fn add(&mut self, array: &ArrayRef, first_row: u64) -> Result<()> {
        refuse_missing(array, &self.column, first_row)?;
        let array = comparable(&cast(array, &self.data_type).map_err(unread)?)?;
        if self.data_type.is_floating() {
            add_numbers(&array, &self.column, first_row, &mut Vec::new())?;
        }
        let rows = self.converter.convert_columns(&[array]).map_err(unread)?;
        for row in &rows {
            let code = self.places.get(row.data()).copied().unwrap_or_else(|| {
                let code = self.places.len() as u32;
                self.places.insert(row.data().into(), code);
                code
            });
            self.codes.push(code);
        }
        if self.places.len() > CLASSES_MAX {
            let what = format!("label \"{}\" has more than {CLASSES_MAX} different values", self.column);
            return Err(Error::new(Code::InvalidValue, what).hint("A number is learned by a regressor, such as random_forest_regressor."));
        }
        Ok(())
    }

    /// Memory in bytes.
    pub fn bytes(&self) -> usize {
        self.codes.capacity() * size_of::<u32>()
    }

    /// The classes in ascending order, and the class of every row.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn finish(mut self) -> Result<(ArrayRef, Vec<u32>)> {
        // Rows are encoded so that their bytes have the order of the values.
        let mut sorted: Vec<(Box<[u8]>, u32)> = self.places.into_iter().collect();
        sorted.sort_unstable();
        let mut ranks = vec![0; sorted.len()];
        sorted.iter().zip(0..).for_each(|((_, place), rank)| ranks[*place as usize] = rank);
        self.codes.iter_mut().for_each(|code| *code = ranks[*code as usize]);
        let parser = self.converter.parser();
        let classes = self.converter.convert_rows(sorted.iter().map(|(row, _)| parser.parse(row))).map_err(unread)?;
        let classes = classes.into_iter().next().ok_or_else(|| Error::internal("a label has no column"))?;
        Ok((classes, self.codes))
    }
}

/// Finds the classes of a trained model in the label column of another query.
#[derive(Debug)]
pub(super) struct ClassLookup {
    column: String,
    data_type: DataType,
    converter: RowConverter,
    places: HashMap<Box<[u8]>, u32>,
}

impl ClassLookup {
    /// For `classes` in a column of this name.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn new(column: &str, classes: &ArrayRef) -> Result<Self> {
        let data_type = classes.data_type().clone();
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())]).map_err(unread)?;
        let rows = converter.convert_columns(std::slice::from_ref(classes)).map_err(unread)?;
        let places = rows.iter().map(|row| row.data().into()).zip(0..).collect();
        Ok(Self { column: column.to_owned(), data_type, converter, places })
    }

    /// Appends the class of every row; `first_row` (from 1) is for messages.
    ///
    /// # Errors
    /// `InvalidValue` for NULL and for labels that training did not see.
    pub fn add(&self, array: &ArrayRef, first_row: u64, codes: &mut Vec<u32>) -> Result<()> {
        refuse_missing(array, &self.column, first_row)?;
        // A label that cannot be written in the type of the classes becomes NULL, and is none of them.
        let converted = cast(array, &self.data_type).map_err(|error| {
            let what = format!("column \"{}\" is of type {}, the model's label is {}", self.column, array.data_type(), self.data_type);
            Error::new(Code::InvalidStatement, what).detail(format!("{error}."))
        })?;
        let rows = self.converter.convert_columns(&[comparable(&converted)?]).map_err(unread)?;
        for (row, key) in rows.iter().enumerate() {
            match self.places.get(key.data()) {
                Some(code) => codes.push(*code),
                None => {
                    let label = array_value_to_string(array, row).map_err(unread)?;
                    let error = wrong_value(&self.column, first_row + row as u64, &format!("'{}'", columns::shortened(&label)));
                    return Err(error.detail("The model was trained without this label."));
                }
            }
        }
        Ok(())
    }
}

/// Appends labels that are numbers; `first_row` (from 1) is for messages.
///
/// # Errors
/// `InvalidValue` with the row for NULL, NaN and infinite ones.
pub(super) fn add_numbers(array: &ArrayRef, column: &str, first_row: u64, values: &mut Vec<f64>) -> Result<()> {
    refuse_missing(array, column, first_row)?;
    let begin = values.len();
    columns::numbers(array, column, first_row, values)?;
    match values[begin..].iter().position(|value| value.is_nan()) {
        Some(row) => Err(wrong_value(column, first_row + row as u64, "NaN").hint("Leave such rows out of the query.")),
        None => Ok(()),
    }
}

/// The labels, of which those that are equal in SQL have the same bits: -0.0 becomes 0.0.
fn comparable(labels: &ArrayRef) -> Result<ArrayRef> {
    if !labels.data_type().is_floating() {
        return Ok(Arc::clone(labels));
    }
    add(labels, &Scalar::new(cast(&Int8Array::from(vec![0]), labels.data_type()).map_err(unread)?)).map_err(unread)
}

fn refuse_missing(array: &ArrayRef, column: &str, first_row: u64) -> Result<()> {
    let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
    let row = nulls.iter().position(|is_valid| !is_valid).unwrap_or(0);
    Err(wrong_value(column, first_row + row as u64, "NULL").hint(format!("Add WHERE \"{column}\" IS NOT NULL to the query.")))
}

fn unread(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("could not read labels: {error}"))
}
