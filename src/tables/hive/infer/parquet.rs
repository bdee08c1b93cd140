//! The columns that Parquet files have together.

use crate::error::{Code, Error, Result};
use crate::tables::hive::column::sql_type;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The union of the columns of all files: numbers widened, a missing column allowed, a conflict named with both files.
pub(super) fn union(files: &[(String, SchemaRef)]) -> Result<Vec<Field>> {
    let mut columns: Vec<(Field, &str)> = Vec::new();
    for (file, schema) in files {
        // Two columns of one file that differ by case are two columns; the caller refuses them.
        let n_before = columns.len();
        for field in schema.fields() {
            let found = table_type(field.data_type());
            let lower = field.name().to_lowercase();
            let place = columns.iter().take(n_before).position(|(column, _)| column.name().to_lowercase() == lower);
            let Some(place) = place else {
                columns.push((Field::new(field.name(), found, true), file));
                continue;
            };
            let (column, first) = &mut columns[place];
            let Some(wider) = wider(column.data_type(), &found) else {
                return Err(Error::new(
                    Code::InvalidStatement,
                    format!("column \"{}\" has different types in files \"{first}\" and \"{file}\"", column.name()),
                )
                .detail(format!("It is {} in the first and {} in the second.", sql_type(column.data_type()), sql_type(&found)))
                .hint("Put the files into directories of their own, or write one of them again."));
            };
            *column = Field::new(column.name(), wider, true);
        }
    }
    Ok(columns.into_iter().map(|(field, _)| field).collect())
}

/// The type of SQL for a type of Parquet.
fn table_type(found: &DataType) -> DataType {
    use DataType::*;
    let item = |field: &FieldRef| Arc::new(Field::new("item", table_type(field.data_type()), true));
    match found {
        UInt8 => Int16,
        UInt16 => Int32,
        UInt32 => Int64,
        UInt64 => Decimal128(20, 0),
        Float16 => Float32,
        Timestamp(..) => Timestamp(TimeUnit::Microsecond, None),
        Date64 => Date32,
        Time32(_) | Time64(_) => Time64(TimeUnit::Microsecond),
        LargeUtf8 | Utf8View => Utf8,
        LargeBinary | BinaryView | FixedSizeBinary(_) => Binary,
        Decimal32(precision, scale) | Decimal64(precision, scale) => Decimal128(*precision, *scale),
        Decimal256(precision, scale) if *precision <= 38 => Decimal128(*precision, *scale),
        Dictionary(_, value) => table_type(value),
        List(field) | LargeList(field) | FixedSizeList(field, _) => List(item(field)),
        Struct(fields) => {
            Struct(fields.iter().map(|field| Field::new(field.name(), table_type(field.data_type()), true)).collect::<Fields>())
        }
        Map(entries, sorted) => match entries.data_type() {
            Struct(pair) if pair.len() == 2 => {
                let key = Field::new(pair[0].name(), table_type(pair[0].data_type()), false);
                let value = Field::new(pair[1].name(), table_type(pair[1].data_type()), true);
                let pair = Struct(vec![key, value].into());
                Map(Arc::new(Field::new(entries.name(), pair, false)), *sorted)
            }
            _ => found.clone(),
        },
        other => other.clone(),
    }
}

/// The narrowest type that both can be read as.
fn wider(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::*;
    if left == right {
        return Some(left.clone());
    }
    let rank = |data_type: &DataType| match data_type {
        Int8 => Some(3_u8),
        Int16 => Some(5),
        Int32 => Some(10),
        Int64 => Some(19),
        _ => None,
    };
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (Float32 | Float64, Float32 | Float64) => Some(Float64),
        (Float32 | Float64, other) | (other, Float32 | Float64) if rank(other).is_some() => Some(Float64),
        (Decimal128(p1, s1), Decimal128(p2, s2)) => decimal(*p1, *s1, *p2, *s2),
        (Decimal128(precision, scale), other) | (other, Decimal128(precision, scale)) => decimal(*precision, *scale, rank(other)?, 0),
        (Date32, Timestamp(..)) | (Timestamp(..), Date32) => Some(Timestamp(TimeUnit::Microsecond, None)),
        (Utf8, Binary) | (Binary, Utf8) => Some(Binary),
        (List(left), List(right)) => Some(List(Arc::new(Field::new("item", wider(left.data_type(), right.data_type())?, true)))),
        (Struct(left), Struct(right)) => struct_of_both(left, right),
        (left_int, right_int) => match (rank(left_int), rank(right_int)) {
            (Some(left_rank), Some(right_rank)) => Some(if left_rank >= right_rank { left.clone() } else { right.clone() }),
            _ => None,
        },
    }
}

fn decimal(p1: u8, s1: i8, p2: u8, s2: i8) -> Option<DataType> {
    let scale = s1.max(s2);
    let whole = (i16::from(p1) - i16::from(s1)).max(i16::from(p2) - i16::from(s2));
    let precision = u8::try_from(whole + i16::from(scale)).ok()?;
    (precision <= 38).then_some(DataType::Decimal128(precision, scale))
}

fn struct_of_both(left: &Fields, right: &Fields) -> Option<DataType> {
    let mut fields = left.iter().map(|field| field.as_ref().clone()).collect::<Vec<_>>();
    for field in right {
        let lower = field.name().to_lowercase();
        match fields.iter_mut().find(|before| before.name().to_lowercase() == lower) {
            Some(before) => *before = Field::new(before.name(), wider(before.data_type(), field.data_type())?, true),
            None => fields.push(field.as_ref().clone()),
        }
    }
    Some(DataType::Struct(fields.into()))
}
