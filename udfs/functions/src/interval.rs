//! `interval * number`, `number * interval` and `interval / number`, which BI tools write and the engine refuses.

use crate::function::{Code, Function, Group, Scalar, over_arrays};
use arrow::array::{ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, ScalarUDF, Volatility, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::{Arc, LazyLock};

const NANOS_PER_DAY: f64 = 86_400e9;

/// `interval_mul(interval, number)`.
pub static INTERVAL_MUL: Function = Function {
    name: "interval_mul",
    aliases: &[],
    group: Group::Time,
    signature: "interval_mul(interval, number)",
    help: "an interval so many times; the operators * and / on intervals call it",
    example: "SELECT DATE '2026-01-31' + 2 * INTERVAL '1' MONTH",
    result: "2026-03-31",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [DataType::Interval(_) | DataType::Null, number] if number.is_integer() || *number == DataType::Null => {
                Ok(vec![DataType::Interval(IntervalUnit::MonthDayNano), DataType::Int64])
            }
            [DataType::Interval(_) | DataType::Null, number] if number.is_numeric() => {
                Ok(vec![DataType::Interval(IntervalUnit::MonthDayNano), DataType::Float64])
            }
            _ => Err("an interval and a number".to_owned()),
        },
        returns: |_, _| Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
        invoke: |args| over_arrays(args, |arrays| multiply(&arrays[0], &arrays[1])),
        simplify: None,
    }),
};

static INTERVAL_MUL_UDF: LazyLock<Option<Arc<ScalarUDF>>> = LazyLock::new(|| INTERVAL_MUL.scalar().map(Arc::new));

/// Plans `*` and `/` of intervals and numbers as `interval_mul`.
#[derive(Debug, Default)]
pub struct IntervalPlanner;

impl ExprPlanner for IntervalPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let Some(function) = INTERVAL_MUL_UDF.as_ref() else { return Ok(PlannerResult::Original(expr)) };
        let call = |interval: Expr, number: Expr| PlannerResult::Planned(function.call(vec![interval, number]));
        let number = |data_type: &DataType| data_type.is_numeric() || *data_type == DataType::Null;
        Ok(match (&expr.op, &left, &right) {
            (BinaryOperator::Multiply, DataType::Interval(_), other) if number(other) => call(expr.left, expr.right),
            (BinaryOperator::Multiply, other, DataType::Interval(_)) if number(other) => call(expr.right, expr.left),
            (BinaryOperator::Divide, DataType::Interval(_), other) if number(other) => call(expr.left, lit(1.0) / expr.right),
            _ => PlannerResult::Original(expr),
        })
    }
}

fn multiply(intervals: &ArrayRef, numbers: &ArrayRef) -> Result<ArrayRef> {
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>().iter();
    let product: IntervalMonthDayNanoArray = match numbers.data_type() {
        DataType::Int64 => {
            let numbers = numbers.as_primitive::<Int64Type>();
            intervals
                .zip(numbers)
                .map(|(interval, n)| interval.zip(n).map(|(interval, n)| whole(interval, n)).transpose())
                .collect::<Result<_>>()?
        }
        _ => {
            let numbers = numbers.as_primitive::<Float64Type>();
            intervals
                .zip(numbers)
                .map(|(interval, n)| interval.zip(n).map(|(interval, n)| fractional(interval, n)).transpose())
                .collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(product))
}

fn whole(interval: IntervalMonthDayNano, n: i64) -> Result<IntervalMonthDayNano> {
    let small = |part: i32| i64::from(part).checked_mul(n).and_then(|part| i32::try_from(part).ok());
    match (small(interval.months), small(interval.days), interval.nanoseconds.checked_mul(n)) {
        (Some(months), Some(days), Some(nanos)) => Ok(IntervalMonthDayNano::new(months, days, nanos)),
        _ => Err(exec_datafusion_err!("an interval times {n} is out of range")),
    }
}

/// As PostgreSQL: what is left of a month becomes days by 30, what is left of a day becomes time.
fn fractional(interval: IntervalMonthDayNano, n: f64) -> Result<IntervalMonthDayNano> {
    // A third of 3 months is a month: what floating point loses must not become 23:59:59.999.
    let exact = |part: f64| (part * 1e9).round() / 1e9;
    let months = exact(f64::from(interval.months) * n);
    let days = exact(f64::from(interval.days) * n + months.fract() * 30.0);
    let nanos = (interval.nanoseconds as f64).mul_add(n, days.fract() * NANOS_PER_DAY).round();
    let fits = months.abs() < f64::from(i32::MAX) && days.abs() < f64::from(i32::MAX) && nanos.abs() < i64::MAX as f64;
    if fits {
        Ok(IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, nanos as i64))
    } else {
        Err(exec_datafusion_err!("an interval times {n} is out of range"))
    }
}
