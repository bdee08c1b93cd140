//! Which filters may prune by Parquet's statistics.
//!
//! Comparisons here find NaN greater than every number; Parquet's minimum and maximum leave NaN out. So
//! `x > 1` would skip a row group whose maximum is 0.5 although its NaN belongs to the answer. Over floats
//! only what no NaN can satisfy may prune: `x < 1`, `x <= 1`, `x = 1`.

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal};
use std::sync::Arc;

/// Whether pruning by this filter keeps every row that satisfies it.
pub(in crate::tables::hive) fn may_prune(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    if !reads_floats(filter, schema) || filter.is::<IsNullExpr>() || filter.is::<IsNotNullExpr>() {
        return true;
    }
    let Some(binary) = filter.downcast_ref::<BinaryExpr>() else { return false };
    let (left, right) = (binary.left(), binary.right());
    match binary.op() {
        Operator::And | Operator::Or => may_prune(left, schema) && may_prune(right, schema),
        Operator::Lt | Operator::LtEq | Operator::Eq if is_column(left) => is_number(right),
        Operator::Gt | Operator::GtEq | Operator::Eq => is_number(left) && is_column(right),
        _ => false,
    }
}

/// A column, maybe of a declared type other than that of the file.
fn is_column(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is::<Column>() || expr.downcast_ref::<CastExpr>().is_some_and(|cast| cast.expr().is::<Column>() && cast.cast_type().is_floating())
}

fn is_number(expr: &Arc<dyn PhysicalExpr>) -> bool {
    match expr.downcast_ref::<Literal>().map(Literal::value) {
        Some(ScalarValue::Float64(Some(number))) => !number.is_nan(),
        Some(ScalarValue::Float32(Some(number))) => !number.is_nan(),
        _ => false,
    }
}

fn reads_floats(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let is_float = |column: &Column| match schema.fields().get(column.index()) {
        Some(field) => holds_floats(field.data_type()),
        None => true,
    };
    expr.downcast_ref::<Column>().is_some_and(is_float) || expr.children().into_iter().any(|child| reads_floats(child, schema))
}

fn holds_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) | DataType::Map(field, _) => {
            holds_floats(field.data_type())
        }
        other => other.is_floating(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{binary, col, is_null, lit, not};

    #[test]
    fn only_what_no_nan_satisfies_prunes_floats() {
        let schema = Schema::new(vec![Field::new("x", DataType::Float64, true), Field::new("n", DataType::Int64, true)]);
        let x = || col("x", &schema).unwrap();
        let n = || col("n", &schema).unwrap();
        let compare = |left, op, right| binary(left, op, right, &schema).unwrap();
        for (filter, expected) in [
            (compare(x(), Operator::Gt, lit(1.0)), false),
            (compare(x(), Operator::GtEq, lit(1.0)), false),
            (compare(x(), Operator::NotEq, lit(1.0)), false),
            (compare(lit(1.0), Operator::Lt, x()), false),
            (compare(x(), Operator::Eq, lit(f64::NAN)), false),
            (compare(x(), Operator::LtEq, lit(f64::NAN)), false),
            (not(compare(x(), Operator::Lt, lit(1.0))).unwrap(), false),
            (compare(compare(n(), Operator::Gt, lit(1_i64)), Operator::Or, compare(x(), Operator::Gt, lit(1.0))), false),
            (compare(x(), Operator::Lt, lit(1.0)), true),
            (compare(lit(1.0), Operator::GtEq, x()), true),
            (compare(x(), Operator::Eq, lit(1.0)), true),
            (is_null(x()).unwrap(), true),
            (compare(n(), Operator::Gt, lit(1_i64)), true),
            (compare(compare(n(), Operator::Gt, lit(1_i64)), Operator::And, compare(x(), Operator::Lt, lit(1.0))), true),
        ] {
            assert_eq!(may_prune(&filter, &schema), expected, "{filter}");
        }
    }
}
