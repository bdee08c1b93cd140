//! `octet_length`: bytes of a text or of binary values, as PostgreSQL, Spark and DuckDB count them; the engine's knows no binary.

use crate::function::{Code, Function, Group, Scalar, over_arrays};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::DataType;
use datafusion::logical_expr::Volatility;

/// `octet_length(text | binary)`.
pub static OCTET_LENGTH: Function = Function {
    name: "octet_length",
    aliases: &[],
    group: Group::Text,
    signature: "octet_length(text | binary)",
    help: "the number of bytes; NULL for NULL",
    example: "SELECT octet_length('日本')",
    result: "6",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [
                DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::FixedSizeBinary(_),
            ] => Ok(types.to_vec()),
            [_] => Ok(vec![DataType::Utf8]),
            _ => Err("one text or binary value".to_owned()),
        },
        returns: |_, _| Ok(DataType::Int32),
        invoke: |args| over_arrays(args, |arrays| Ok(cast(&length(arrays[0].as_ref())?, &DataType::Int32)?)),
        simplify: None,
    }),
};
