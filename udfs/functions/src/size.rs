//! `size`: elements of an array or entries of a map, as Hive and Spark count them.

use crate::function::{Code, Function, Group, Scalar, over_arrays};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::Volatility;
use std::sync::Arc;

/// `size(array | map)`.
pub static SIZE: Function = Function {
    name: "size",
    aliases: &["array_size"],
    group: Group::Array,
    signature: "size(array | map)",
    help: "the number of elements; NULL for NULL",
    example: "SELECT size([10, 20, 30])",
    result: "3",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) | DataType::Map(_, _) | DataType::Null] => {
                Ok(types.to_vec())
            }
            _ => Err("an array or a map".to_owned()),
        },
        returns: |_, _| Ok(DataType::Int32),
        invoke: |args| over_arrays(args, |arrays| size(&arrays[0])),
        simplify: None,
    }),
};

fn size(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Null => Ok(Arc::new(Int32Array::new_null(array.len()))),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let sizes: Int32Array =
                (0..map.len()).map(|row| map.is_valid(row).then(|| map.value_offsets()[row + 1] - map.value_offsets()[row])).collect();
            Ok(Arc::new(sizes))
        }
        _ => Ok(cast(&length(array.as_ref())?, &DataType::Int32)?),
    }
}
