//! `if`, `isnull`, `isnotnull`.

use crate::function::{Code, Function, Group, Scalar, over_arrays};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{is_not_null, is_null, prep_null_mask_filter};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::type_coercion::binary::{comparison_coercion, type_union_resolution};
use datafusion::logical_expr::{Expr, Volatility};
use std::sync::Arc;

/// `if(condition, then, else)`.
pub static IF: Function = Function {
    name: "if",
    aliases: &["iff", "iif"],
    group: Group::Conditional,
    signature: "if(condition, then [, else])",
    help: "then when the condition is true, else when it is false or NULL; the other side is not computed",
    example: "SELECT if(2 > 1, 'more', 'less')",
    result: "more",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [condition, rest @ ..] if is_condition(condition) && matches!(rest.len(), 1 | 2) => {
                let common = match rest {
                    [then, otherwise] => type_union_resolution(rest).or_else(|| comparison_coercion(then, otherwise)),
                    _ => rest.first().cloned(),
                };
                let common = common.ok_or_else(|| "two values of one type".to_owned())?;
                Ok([vec![DataType::Boolean], vec![common; rest.len()]].concat())
            }
            _ => Err("a condition and one or two values".to_owned()),
        },
        returns: |fields, _| match fields.get(1) {
            Some(then) => Ok(then.data_type().clone()),
            None => plan_err!("if takes a condition and values"),
        },
        invoke: |args| over_arrays(args, choose),
        simplify: Some(as_case),
    }),
};

/// `isnull(value)`.
pub static IS_NULL: Function = Function {
    name: "isnull",
    aliases: &[],
    group: Group::Conditional,
    signature: "isnull(value)",
    help: "true when the value is NULL",
    example: "SELECT isnull(NULL)",
    result: "true",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: one,
        returns: boolean,
        invoke: |args| over_arrays(args, |arrays| Ok(Arc::new(is_null(&arrays[0])?))),
        simplify: Some(|args| match <[Expr; 1]>::try_from(args) {
            Ok([value]) => Ok(value.is_null()),
            Err(args) => Err(args),
        }),
    }),
};

/// `isnotnull(value)`.
pub static IS_NOT_NULL: Function = Function {
    name: "isnotnull",
    aliases: &[],
    group: Group::Conditional,
    signature: "isnotnull(value)",
    help: "true when the value is not NULL",
    example: "SELECT isnotnull(1)",
    result: "true",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: one,
        returns: boolean,
        invoke: |args| over_arrays(args, |arrays| Ok(Arc::new(is_not_null(&arrays[0])?))),
        simplify: Some(|args| match <[Expr; 1]>::try_from(args) {
            Ok([value]) => Ok(value.is_not_null()),
            Err(args) => Err(args),
        }),
    }),
};

fn is_condition(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Boolean | DataType::Null)
}

fn one(types: &[DataType]) -> Result<Vec<DataType>, String> {
    if types.len() == 1 { Ok(types.to_vec()) } else { Err("one value".to_owned()) }
}

fn boolean(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Boolean)
}

/// CASE computes only the side that is needed: `if(n = 0, NULL, a / n)` must not divide by zero.
fn as_case(args: Vec<Expr>) -> Result<Expr, Vec<Expr>> {
    let mut rest = args.into_iter();
    match (rest.next(), rest.next(), rest.next()) {
        (Some(condition), Some(then), otherwise) => {
            let when = vec![(Box::new(condition), Box::new(then))];
            Ok(Expr::Case(Case::new(None, when, otherwise.map(Box::new))))
        }
        (first, second, third) => Err([first, second, third].into_iter().flatten().collect()),
    }
}

fn choose(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let condition = arrays[0].as_boolean();
    let mask: BooleanArray = if condition.null_count() > 0 { prep_null_mask_filter(condition) } else { condition.clone() };
    match arrays.get(2) {
        Some(otherwise) => Ok(zip(&mask, &arrays[1], otherwise)?),
        None => {
            let nothing = arrow::array::new_null_array(arrays[1].data_type(), arrays[1].len());
            Ok(zip(&mask, &arrays[1], &nothing)?)
        }
    }
}
