//! Arrays from engine types to edge types.

use super::{edge_type, text};
use crate::engine::types;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, GenericListArray, MapArray, OffsetSizeTrait, StructArray, new_null_array,
};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::FormatOptions;
use std::sync::Arc;

/// A value that has no place in its edge type, or an array that is not what its type says.
#[derive(Debug)]
pub(super) enum ConvertError {
    /// A `UInt64` above the largest BIGINT.
    TooLarge(u64),
    /// A cast refused a value; the text says which.
    Cast { target: DataType, source: ArrowError },
    /// Already told in full.
    Told(Box<Error>),
}

impl ConvertError {
    /// The error as a user sees it, with the column's name.
    pub(super) fn of_column(self, column: &str) -> Error {
        match self {
            Self::TooLarge(value) => Error::new(Code::InvalidValue, format!("column \"{column}\" has a value out of range for BIGINT"))
                .detail(format!("The value is {value}, the largest BIGINT is {}.", i64::MAX))
                .hint("CAST the column to DECIMAL(20, 0)."),
            Self::Cast { target, source } => {
                Error::new(Code::InvalidValue, format!("column \"{column}\" has a value that does not fit {}", types::sql_name(&target)))
                    .detail(format!("{source}."))
            }
            Self::Told(error) => *error,
        }
    }
}

impl From<Error> for ConvertError {
    fn from(error: Error) -> Self {
        Self::Told(Box::new(error))
    }
}

/// The array in the edge type `target`; shared when it has that type already.
pub(super) fn edge_array(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ConvertError> {
    if array.data_type() == target {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), target) {
        (DataType::Null, _) => Ok(new_null_array(target, array.len())),
        (DataType::UInt64, DataType::Int64) => signed(array),
        (DataType::Interval(unit), DataType::Utf8) => Ok(text::interval_text(array.as_ref(), *unit)),
        (DataType::Duration(unit), DataType::Utf8) => Ok(text::duration_text(array.as_ref(), *unit)),
        (DataType::Union(_, _), DataType::Utf8) => Ok(text::union_text(array.as_union())?),
        (DataType::Dictionary(_, value), _) => {
            let values = cast(array, value)?;
            edge_array(&values, target)
        }
        (DataType::RunEndEncoded(_, values), _) => {
            let values = cast(array, values.data_type())?;
            edge_array(&values, target)
        }
        (DataType::ListView(field), DataType::List(_)) => {
            let list = cast(array, &DataType::List(Arc::clone(field)))?;
            edge_array(&list, target)
        }
        (DataType::LargeListView(field), DataType::LargeList(_)) => {
            let list = cast(array, &DataType::LargeList(Arc::clone(field)))?;
            edge_array(&list, target)
        }
        (DataType::List(_), DataType::List(field)) => list(array.as_list::<i32>(), field),
        (DataType::LargeList(_), DataType::LargeList(field)) => list(array.as_list::<i64>(), field),
        (DataType::FixedSizeList(_, size), DataType::FixedSizeList(field, target_size)) if size == target_size => {
            let array = array.as_fixed_size_list();
            let values = edge_array(array.values(), field.data_type())?;
            built(FixedSizeListArray::try_new(Arc::clone(field), *size, values, array.nulls().cloned()), target)
        }
        (DataType::Struct(_), DataType::Struct(fields)) if array.as_struct().num_columns() == fields.len() => {
            structure(array.as_struct(), fields.iter(), target).map(|array| Arc::new(array) as ArrayRef)
        }
        (DataType::Map(_, _), DataType::Map(entries, sorted)) => map(array.as_map(), entries, *sorted, target),
        (source, _) if edge_type(source) == *source => cast(array, target),
        // The plan announced another type than the stream has (a NULL literal, say): to the edge, then to the announced type.
        (source, _) => {
            let own = edge_type(source);
            if own == *target { cast(array, target) } else { cast(&edge_array(array, &own)?, target) }
        }
    }
}

fn cast(array: &ArrayRef, target: &DataType) -> Result<ArrayRef, ConvertError> {
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    cast_with_options(array, target, &options).map_err(|source| ConvertError::Cast { target: target.clone(), source })
}

fn signed(array: &ArrayRef) -> Result<ArrayRef, ConvertError> {
    let values = array.as_primitive::<UInt64Type>();
    let too_large = values.iter().flatten().find(|value| i64::try_from(*value).is_err());
    match too_large {
        Some(value) => Err(ConvertError::TooLarge(value)),
        None => cast(array, &DataType::Int64),
    }
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>, field: &FieldRef) -> Result<ArrayRef, ConvertError> {
    let (values, offsets) = used(array.values(), array.offsets());
    let values = edge_array(&values, field.data_type())?;
    built(GenericListArray::<O>::try_new(Arc::clone(field), offsets, values, array.nulls().cloned()), field.data_type())
}

fn map(array: &MapArray, field: &FieldRef, sorted: bool, target: &DataType) -> Result<ArrayRef, ConvertError> {
    let DataType::Struct(fields) = field.data_type() else {
        return Err(Error::internal(format!("a map without key and value: {target}")).into());
    };
    let entries: ArrayRef = Arc::new(array.entries().clone());
    let (entries, offsets) = used(&entries, array.offsets());
    let entries = structure(entries.as_struct(), fields.iter(), field.data_type())?;
    built(MapArray::try_new(Arc::clone(field), offsets, entries, array.nulls().cloned(), sorted), target)
}

fn structure<'a>(
    array: &StructArray,
    fields: impl ExactSizeIterator<Item = &'a FieldRef>,
    target: &DataType,
) -> Result<StructArray, ConvertError> {
    let fields: Vec<FieldRef> = fields.cloned().collect();
    let columns =
        array.columns().iter().zip(&fields).map(|(column, field)| edge_array(column, field.data_type())).collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new_with_length(fields.into(), columns, array.nulls().cloned(), array.len())
        .map_err(|error| Error::internal(format!("cannot build {target}: {error}")).into())
}

/// The part of the child that a sliced list refers to, and its offsets from 0: a value outside must not fail the conversion.
fn used<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &OffsetBuffer<O>) -> (ArrayRef, OffsetBuffer<O>) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    if first.as_usize() == 0 && last.as_usize() == values.len() {
        return (Arc::clone(values), offsets.clone());
    }
    let moved: ScalarBuffer<O> = offsets.iter().map(|offset| *offset - first).collect();
    (values.slice(first.as_usize(), last.as_usize() - first.as_usize()), OffsetBuffer::new(moved))
}

fn built<A: Array + 'static>(array: Result<A, ArrowError>, target: &DataType) -> Result<ArrayRef, ConvertError> {
    match array {
        Ok(array) => Ok(Arc::new(array)),
        Err(error) => Err(Error::internal(format!("cannot build {target}: {error}")).into()),
    }
}
