//! Sums of dates: `date_add`, `date_sub`, `timestampadd`, `add_months`, `last_day`.
//!
//! BI tools add intervals, Hive and Spark add days, ODBC and Databricks add units; one function per name takes all forms.

use crate::function::{Code, Function, Group, Scalar, instant, is_integer, is_text, over_arrays};
use crate::unit::{Unit, sum_type};
use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray};
use arrow::compute::kernels::numeric::{add, sub};
use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::{DataType, FieldRef, Int32Type, Int64Type, IntervalMonthDayNano, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, Volatility};
use std::sync::Arc;

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// `date_add(value, days | interval)` and `date_add(unit, n, value)`.
pub static DATE_ADD: Function = Function {
    name: "date_add",
    aliases: &["dateadd", "adddate"],
    group: Group::Time,
    signature: "date_add(value, days | interval), date_add(unit, n, value)",
    help: "a later date or timestamp; with a number of days the result is a date",
    example: "SELECT date_add(DATE '2026-01-31', INTERVAL '1' MONTH)",
    result: "2026-02-28",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: coerce_sum,
        returns: returns_sum,
        invoke: |args| sum(args, 1),
        simplify: None,
    }),
};

/// `date_sub(value, days | interval)`.
pub static DATE_SUB: Function = Function {
    name: "date_sub",
    aliases: &["datesub", "subdate"],
    group: Group::Time,
    signature: "date_sub(value, days | interval), date_sub(unit, n, value)",
    help: "an earlier date or timestamp; with a number of days the result is a date",
    example: "SELECT date_sub(DATE '2026-03-01', 1)",
    result: "2026-02-28",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: coerce_sum,
        returns: returns_sum,
        invoke: |args| sum(args, -1),
        simplify: None,
    }),
};

/// `timestampadd(unit, n, value)`.
pub static TIMESTAMP_ADD: Function = Function {
    name: "timestampadd",
    aliases: &[],
    group: Group::Time,
    signature: "timestampadd(unit, n, value)",
    help: "the value plus n units; units are quoted or bare, with or without SQL_TSI_",
    example: "SELECT timestampadd('SQL_TSI_HOUR', 36, TIMESTAMP '2026-01-01 00:00:00')",
    result: "2026-01-02T12:00:00",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| if types.len() == 3 { coerce_sum(types) } else { Err("a unit, a number and a date or timestamp".to_owned()) },
        returns: returns_sum,
        invoke: |args| sum(args, 1),
        simplify: None,
    }),
};

/// `add_months(value, n)`.
pub static ADD_MONTHS: Function = Function {
    name: "add_months",
    aliases: &[],
    group: Group::Time,
    signature: "add_months(value, n)",
    help: "the date n months later, at most the last day of that month",
    example: "SELECT add_months(DATE '2026-01-31', 1)",
    result: "2026-02-28",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [value, n] if instant(value).is_some() && is_integer(n) => Ok(vec![DataType::Date32, DataType::Int64]),
            _ => Err("a date and a number of months".to_owned()),
        },
        returns: date,
        invoke: |args| {
            over_arrays(args, |arrays| {
                let months = intervals(&arrays[1], Unit::Months(1), 1)?;
                Ok(add(&arrays[0], &months)?)
            })
        },
        simplify: None,
    }),
};

/// `last_day(value)`.
pub static LAST_DAY: Function = Function {
    name: "last_day",
    aliases: &[],
    group: Group::Time,
    signature: "last_day(value)",
    help: "the last day of the month",
    example: "SELECT last_day(DATE '2028-02-10')",
    result: "2028-02-29",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [value] if instant(value).is_some() => Ok(vec![DataType::Date32]),
            _ => Err("a date".to_owned()),
        },
        returns: date,
        invoke: |args| over_arrays(args, |arrays| last_day(&arrays[0])),
        simplify: None,
    }),
};

fn date(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Date32)
}

fn coerce_sum(types: &[DataType]) -> Result<Vec<DataType>, String> {
    let taken = || "a date or timestamp and a number of days or an interval, or a unit, a number and a date or timestamp".to_owned();
    match types {
        [value, DataType::Interval(_)] => Ok(vec![instant(value).ok_or_else(taken)?, INTERVAL]),
        [value, days] if is_integer(days) && instant(value).is_some() => Ok(vec![DataType::Date32, DataType::Int64]),
        [unit, n, value] if is_text(unit) && is_integer(n) => Ok(vec![DataType::Utf8, DataType::Int64, instant(value).ok_or_else(taken)?]),
        _ => Err(taken()),
    }
}

fn returns_sum(fields: &[FieldRef], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    match fields {
        [value, _] => Ok(value.data_type().clone()),
        [_, _, value] => Ok(sum_type(value, Unit::constant(constants.first().copied().flatten())?)),
        _ => plan_err!("a sum of dates takes 2 or 3 arguments"),
    }
}

/// The three forms, after coercion: (value, interval), (date, n days), (unit, n, value).
fn sum(args: &ScalarFunctionArgs, sign: i64) -> Result<ColumnarValue> {
    let unit = match args.args.first() {
        Some(ColumnarValue::Scalar(scalar)) if args.args.len() == 3 => Unit::constant(Some(scalar))?,
        _ => Unit::Days(1),
    };
    let result_type = args.return_type().clone();
    over_arrays(args, |arrays| match arrays {
        [value, interval] if *interval.data_type() == INTERVAL => Ok(if sign < 0 { sub(value, interval)? } else { add(value, interval)? }),
        [value, days] => Ok(add(value, &intervals(days, unit, sign)?)?),
        [_, n, value] => Ok(add(&cast(value, &result_type)?, &intervals(n, unit, sign)?)?),
        _ => plan_err!("a sum of dates takes 2 or 3 arguments"),
    })
}

/// `n` units as intervals, where `n` is Int64.
fn intervals(n: &ArrayRef, unit: Unit, sign: i64) -> Result<IntervalMonthDayNanoArray> {
    let too_large = |n: i64| exec_datafusion_err!("{n} units of time are out of range");
    let one = |n: i64| -> Result<IntervalMonthDayNano> {
        let signed = n.checked_mul(sign).ok_or_else(|| too_large(n))?;
        let small = |factor: i32| signed.checked_mul(i64::from(factor)).and_then(|n| i32::try_from(n).ok()).ok_or_else(|| too_large(n));
        Ok(match unit {
            Unit::Months(months) => IntervalMonthDayNano::new(small(months)?, 0, 0),
            Unit::Days(days) => IntervalMonthDayNano::new(0, small(days)?, 0),
            Unit::Nanos(nanos) => IntervalMonthDayNano::new(0, 0, signed.checked_mul(nanos).ok_or_else(|| too_large(n))?),
        })
    };
    n.as_primitive::<Int64Type>().iter().map(|n| n.map(one).transpose()).collect()
}

fn last_day(dates: &ArrayRef) -> Result<ArrayRef> {
    let (months, days) = (IntervalMonthDayNano::new(1, 0, 0), date_part(dates, DatePart::Day)?);
    // The first of this month, a month on, a day back.
    let to_first: IntervalMonthDayNanoArray =
        days.as_primitive::<Int32Type>().iter().map(|day| day.map(|day| IntervalMonthDayNano::new(0, 1 - day, 0))).collect();
    let first = add(dates, &to_first)?;
    let next = add(&first, &IntervalMonthDayNanoArray::new_scalar(months))?;
    let last = add(&next, &IntervalMonthDayNanoArray::new_scalar(IntervalMonthDayNano::new(0, -1, 0)))?;
    Ok(Arc::clone(&last))
}
