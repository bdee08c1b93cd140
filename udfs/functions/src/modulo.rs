//! `mod` and Hive's `pmod`.

use crate::function::{Code, Function, Group, Scalar, over_arrays};
use arrow::compute::kernels::numeric::{add, rem};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Volatility;
use datafusion::logical_expr::type_coercion::binary::binary_numeric_coercion;

/// `mod(a, b)`.
pub static MODULO: Function = Function {
    name: "mod",
    aliases: &[],
    group: Group::Numeric,
    signature: "mod(a, b)",
    help: "the rest of a divided by b, with the sign of a",
    example: "SELECT mod(-7, 3)",
    result: "-1",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce,
        returns,
        invoke: |args| over_arrays(args, |arrays| Ok(rem(&arrays[0], &arrays[1])?)),
        simplify: None,
    }),
};

/// `pmod(a, b)`.
pub static POSITIVE_MODULO: Function = Function {
    name: "pmod",
    aliases: &[],
    group: Group::Numeric,
    signature: "pmod(a, b)",
    help: "the rest of a divided by b, with the sign of b",
    example: "SELECT pmod(-7, 3)",
    result: "2",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce,
        returns,
        invoke: |args| {
            over_arrays(args, |arrays| {
                let rest = rem(&arrays[0], &arrays[1])?;
                let shifted = add(&rest, &arrays[1])?;
                // Decimal addition widens the type by a digit that the rest never needs.
                Ok(arrow::compute::cast(&rem(&shifted, &arrays[1])?, rest.data_type())?)
            })
        },
        simplify: None,
    }),
};

fn coerce(types: &[DataType]) -> Result<Vec<DataType>, String> {
    match types {
        [DataType::Null, DataType::Null] => Some(vec![DataType::Int64, DataType::Int64]),
        [DataType::Null, other] | [other, DataType::Null] if other.is_numeric() => Some(vec![other.clone(), other.clone()]),
        [left, right] => binary_numeric_coercion(left, right).map(|common| vec![common.clone(), common]),
        _ => None,
    }
    .ok_or_else(|| "two numbers".to_owned())
}

fn returns(fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    match fields {
        [left, ..] => Ok(left.data_type().clone()),
        [] => plan_err!("mod takes two numbers"),
    }
}
