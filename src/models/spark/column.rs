//! Columns while a pipeline runs: what a query has, as Spark would see it.

use crate::error::{Code, Error, Result};
use crate::models::predictor::learned::{Holds, Input};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::cells;

/// A column of some rows.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Texts(StringArray),
    Numbers(Numbers),
    Vectors(Vectors),
}

/// Numbers; NULL and NaN are different things to some stages.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    pub values: Vec<f64>,
    pub nulls: Option<NullBuffer>,
    pub kind: NumberKind,
}

/// The type that Spark would give the numbers: an Imputer keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum NumberKind {
    #[default]
    Double,
    Float,
    Integer,
}

/// Vectors of one width, row by row.
#[derive(Debug, Clone, Default)]
pub(super) struct Vectors {
    pub width: usize,
    pub values: Vec<f64>,
    pub nulls: Option<NullBuffer>,
}

impl Numbers {
    /// Numbers that Spark computed.
    pub fn doubles(values: Vec<f64>, nulls: Option<NullBuffer>) -> Self {
        Self { values, nulls, kind: NumberKind::Double }
    }

    /// Whether the row has no value.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The number as Spark's cast to STRING writes it.
    pub fn text(&self, row: usize) -> Option<String> {
        let value = self.values[row];
        match self.kind {
            _ if self.is_null(row) => None,
            NumberKind::Double => Some(java_double(value)),
            NumberKind::Float => Some(java_float(value as f32)),
            NumberKind::Integer => Some(format!("{value:.0}")),
        }
    }
}

impl Vectors {
    /// Whether the row has no value.
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }
}

impl Values {
    /// The rows of a query's column, as a stage expects them; `first_row` (from 1) is for messages.
    ///
    /// # Errors
    /// `InvalidStatement` for a type that Spark would not take either, `InvalidValue` with the row for vectors of
    /// different lengths.
    pub fn of_query(array: &ArrayRef, input: &Input, first_row: usize) -> Result<Self> {
        let array = match array.data_type() {
            DataType::Dictionary(_, values) => &cast(array, values).map_err(|error| unusable(array, input, &error.to_string()))?,
            DataType::RunEndEncoded(_, values) => {
                &cast(array, values.data_type()).map_err(|error| unusable(array, input, &error.to_string()))?
            }
            _ => array,
        };
        match input.holds {
            Holds::Category => texts(array, input).map(Self::Texts),
            Holds::Number => numbers(array, input).map(Self::Numbers),
            Holds::Vector => vectors(array, input, first_row).map(Self::Vectors),
        }
    }
}

fn unusable(array: &ArrayRef, input: &Input, detail: &str) -> Error {
    let expected = match input.holds {
        Holds::Category => "a text or a number",
        Holds::Number => "a number",
        Holds::Vector => "an array of numbers",
    };
    let what = format!("column \"{}\" is of type {}, it must be {expected}", input.name, array.data_type());
    let error = Error::new(Code::InvalidStatement, what);
    let error = if detail.is_empty() { error } else { error.detail(format!("{detail}.")) };
    match input.holds {
        Holds::Number => error.hint(format!("Convert it in the query: CAST(\"{}\" AS DOUBLE).", input.name)),
        Holds::Vector => error.hint("Write the features as an array of numbers in the order of training: [a, b, c]."),
        Holds::Category => error,
    }
}

fn texts(array: &ArrayRef, input: &Input) -> Result<StringArray> {
    Ok(match array.data_type() {
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().map(|value| value.map(java_double)).collect(),
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().map(|value| value.map(java_float)).collect(),
        data_type if data_type.is_nested() || data_type.is_binary() => return Err(unusable(array, input, "")),
        _ => {
            let texts = cast(array, &DataType::Utf8).map_err(|error| unusable(array, input, &error.to_string()))?;
            texts.as_string::<i32>().clone()
        }
    })
}

fn numbers(array: &ArrayRef, input: &Input) -> Result<Numbers> {
    let data_type = array.data_type();
    let kind = match data_type {
        DataType::Float64 | DataType::Null => NumberKind::Double,
        DataType::Float32 | DataType::Float16 => NumberKind::Float,
        DataType::Boolean => NumberKind::Integer,
        _ if data_type.is_integer() => NumberKind::Integer,
        _ if data_type.is_decimal() => NumberKind::Double,
        _ => return Err(unusable(array, input, "")),
    };
    let doubles = cast(array, &DataType::Float64).map_err(|error| unusable(array, input, &error.to_string()))?;
    let doubles: &Float64Array = doubles.as_primitive();
    Ok(Numbers { values: doubles.values().to_vec(), nulls: doubles.nulls().cloned(), kind })
}

/// Arrays of numbers, or Spark's own struct of a vector.
fn vectors(array: &ArrayRef, input: &Input, first_row: usize) -> Result<Vectors> {
    let is_vector = match array.data_type() {
        DataType::Null => true,
        DataType::List(of) | DataType::LargeList(of) | DataType::FixedSizeList(of, _) => of.data_type().is_numeric(),
        DataType::Struct(fields) => fields.find("type").is_some() && fields.find("values").is_some(),
        _ => false,
    };
    if !is_vector {
        return Err(unusable(array, input, ""));
    }
    let mut vectors = Vectors::default();
    let mut given = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        let is_null = array.data_type().is_null() || array.is_null(row);
        let vector = if is_null { None } else { cells::vector(array, row) };
        let wrong = |is: String| {
            let what = format!("column \"{}\" {is} in row {} of the query", input.name, first_row + row);
            Error::new(Code::InvalidValue, what)
        };
        match (&vector, is_null) {
            (None, false) => return Err(wrong("has an array with NULL".into())),
            (Some(vector), _) if vectors.width == 0 => vectors.width = vector.len(),
            (Some(vector), _) if vectors.width != vector.len() => {
                return Err(wrong(format!("has {} numbers instead of {}", vector.len(), vectors.width)));
            }
            _ => {}
        }
        given.push(vector);
    }
    if given.iter().any(Option::is_none) {
        vectors.nulls = Some(given.iter().map(Option::is_some).collect());
    }
    vectors.values = Vec::with_capacity(vectors.width * given.len());
    for vector in given {
        match vector {
            Some(vector) => vectors.values.extend(vector),
            None => vectors.values.resize(vectors.values.len() + vectors.width, f64::NAN),
        }
    }
    Ok(vectors)
}

/// A double as Java prints it: what Spark's cast to STRING gives.
pub(super) fn java_double(value: f64) -> String {
    match value {
        _ if value.is_nan() => "NaN".into(),
        _ if value.is_infinite() => if value > 0.0 { "Infinity" } else { "-Infinity" }.into(),
        _ if value == 0.0 || (1e-3..1e7).contains(&value.abs()) => format!("{value:?}"),
        _ => java_exponent(&format!("{value:e}")),
    }
}

fn java_float(value: f32) -> String {
    match value {
        _ if value.is_nan() || value.is_infinite() => java_double(f64::from(value)),
        _ if value == 0.0 || (1e-3..1e7).contains(&value.abs()) => format!("{value:?}"),
        _ => java_exponent(&format!("{value:e}")),
    }
}

/// `1e7` as `1.0E7`.
fn java_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    format!("{mantissa}{point}E{exponent}")
}
