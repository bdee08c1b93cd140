//! Which stored types can be read as which declared ones, and the reading of nested ones.

use super::adapter::find_name;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result as PlanResult;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_plan::PhysicalExpr;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How a stored type fits a declared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Same,
    /// A cast that loses nothing; a value out of range is an error when it is read.
    Cast,
    /// Nested types: children are matched by name.
    Nested,
    No,
}

/// Whether values of `found` can be read as `declared`.
pub(super) fn fit(found: &DataType, declared: &DataType) -> Result<Fit> {
    use DataType::*;
    if found == declared {
        return Ok(Fit::Same);
    }
    let inner = |found: &FieldRef, declared: &FieldRef| {
        Ok(if fit(found.data_type(), declared.data_type())? == Fit::No { Fit::No } else { Fit::Nested })
    };
    match (found, declared) {
        (Struct(found), Struct(declared)) => {
            for wanted in declared {
                let place = find_name(wanted.name(), found.iter().map(|field| field.name().as_str()))?;
                if let Some(place) = place
                    && fit(found[place].data_type(), wanted.data_type())? == Fit::No
                {
                    return Ok(Fit::No);
                }
            }
            Ok(Fit::Nested)
        }
        (List(found) | LargeList(found) | FixedSizeList(found, _), List(declared)) => inner(found, declared),
        (Map(found, _), Map(declared, _)) => match (found.data_type(), declared.data_type()) {
            (Struct(found), Struct(declared)) if found.len() == 2 && declared.len() == 2 => {
                let key = inner(&found[0], &declared[0])?;
                Ok(if key == Fit::No { key } else { inner(&found[1], &declared[1])? })
            }
            _ => Ok(Fit::No),
        },
        _ => Ok(if is_lossless(found, declared) { Fit::Cast } else { Fit::No }),
    }
}

/// Whether a cast of single values keeps what they mean; ranges are checked value by value.
fn is_lossless(found: &DataType, declared: &DataType) -> bool {
    use DataType::*;
    match (found, declared) {
        (Dictionary(_, value), _) => value.as_ref() == declared || is_lossless(value, declared),
        (Null, _) => true,
        (whole, declared) if whole.is_integer() && declared.is_integer() => true,
        (whole, Float64 | Decimal128(..) | Decimal256(..)) if whole.is_integer() => true,
        (Int8 | Int16 | UInt8 | UInt16, Float32) => true,
        (Float16, Float32 | Float64) | (Float32, Float64) => true,
        (Decimal32(_, from) | Decimal64(_, from) | Decimal128(_, from) | Decimal256(_, from), Decimal128(_, to) | Decimal256(_, to)) => {
            from <= to
        }
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView) => true,
        // Old writers store texts without saying that they are UTF-8; the cast checks.
        (Binary | LargeBinary | BinaryView, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary | LargeBinary | BinaryView) => true,
        // Parquet knows only UTC as a zone.
        (Timestamp(..) | Date32 | Date64, Timestamp(..)) => true,
        (Date32 | Date64, Date32 | Date64) => true,
        (Time32(_) | Time64(_), Time32(_) | Time64(_)) => true,
        _ => false,
    }
}

/// Reads an array as another type that [`fit`]s.
pub(super) fn conform(array: &ArrayRef, declared: &DataType) -> PlanResult<ArrayRef> {
    if array.data_type() == declared {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), declared) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let found = array.as_struct();
            let names = found.column_names();
            let mut children = Vec::with_capacity(fields.len());
            for field in fields {
                children.push(match find_name(field.name(), names.iter().copied())? {
                    Some(place) => conform(found.column(place), field.data_type())?,
                    None => new_null_array(field.data_type(), found.len()),
                });
            }
            let conformed = StructArray::try_new_with_length(fields.clone(), children, found.nulls().cloned(), found.len())?;
            Ok(Arc::new(conformed))
        }
        (DataType::List(_), DataType::List(item)) => {
            let found = array.as_list::<i32>();
            let values = conform(found.values(), item.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), found.offsets().clone(), values, found.nulls().cloned())?))
        }
        (DataType::LargeList(item) | DataType::FixedSizeList(item, _), DataType::List(_)) => {
            let list = cast(array, &DataType::List(Arc::clone(item)))?;
            conform(&list, declared)
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let found = array.as_map();
            let DataType::Struct(pair) = entries.data_type() else {
                return Err(Error::internal("a map without entries").into());
            };
            let keys = conform(found.keys(), pair[0].data_type())?;
            let values = conform(found.values(), pair[1].data_type())?;
            let pairs = StructArray::try_new(pair.clone(), vec![keys, values], None)?;
            let map = MapArray::try_new(Arc::clone(entries), found.offsets().clone(), pairs, found.nulls().cloned(), *sorted)?;
            Ok(Arc::new(map))
        }
        _ => cast(array, declared),
    }
}

fn cast(array: &ArrayRef, declared: &DataType) -> PlanResult<ArrayRef> {
    Ok(cast_with_options(array, declared, &CastOptions { safe: false, ..CastOptions::default() })?)
}

/// A nested column of a file, read as the declared type.
#[derive(Debug, Clone, Eq)]
pub(super) struct ConformExpr {
    column: Arc<dyn PhysicalExpr>,
    declared: FieldRef,
}

impl ConformExpr {
    pub(super) fn new(column: Arc<dyn PhysicalExpr>, declared: FieldRef) -> Self {
        Self { column, declared }
    }
}

impl PartialEq for ConformExpr {
    fn eq(&self, other: &Self) -> bool {
        self.column.eq(&other.column) && self.declared == other.declared
    }
}

impl Hash for ConformExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
        self.declared.hash(state);
    }
}

impl fmt::Display for ConformExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conform({})", self.column)
    }
}

impl PhysicalExpr for ConformExpr {
    fn data_type(&self, _input_schema: &Schema) -> PlanResult<DataType> {
        Ok(self.declared.data_type().clone())
    }

    fn nullable(&self, _input_schema: &Schema) -> PlanResult<bool> {
        Ok(true)
    }

    fn return_field(&self, _input_schema: &Schema) -> PlanResult<FieldRef> {
        Ok(Arc::clone(&self.declared))
    }

    fn evaluate(&self, batch: &RecordBatch) -> PlanResult<ColumnarValue> {
        let array = self.column.evaluate(batch)?.into_array(batch.num_rows())?;
        Ok(ColumnarValue::Array(conform(&array, self.declared.data_type())?))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.column]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> PlanResult<Arc<dyn PhysicalExpr>> {
        match children.as_slice() {
            [column] => Ok(Arc::new(Self::new(Arc::clone(column), Arc::clone(&self.declared)))),
            _ => Err(Error::internal("a conformed column has one child").into()),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.column.fmt_sql(f)
    }
}
