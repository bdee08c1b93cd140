//! Differences of dates: `datediff(end, start)` in days, `date_diff(unit, start, end)` in whole units.

use crate::function::{Code, Function, Group, Scalar, instant, is_text, over_arrays};
use crate::unit::Unit;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, FieldRef, TimeUnit, TimestampMicrosecondType};
use chrono::{DateTime, Datelike, NaiveDateTime};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, Volatility};
use std::sync::Arc;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// `datediff(end, start)` and `datediff(unit, start, end)`.
pub static DATE_DIFF: Function = Function {
    name: "datediff",
    aliases: &["date_diff"],
    group: Group::Time,
    signature: "datediff(end, start), datediff(unit, start, end)",
    help: "days from start to end by their dates; with a unit, the whole units between the two",
    example: "SELECT datediff(DATE '2026-03-01', DATE '2026-02-01')",
    result: "28",
    code: Code::Scalar(&Scalar { volatility: Volatility::Immutable, coerce, returns: int64, invoke, simplify: None }),
};

/// `timestampdiff(unit, start, end)`.
pub static TIMESTAMP_DIFF: Function = Function {
    name: "timestampdiff",
    aliases: &[],
    group: Group::Time,
    signature: "timestampdiff(unit, start, end)",
    help: "the whole units from start to end",
    example: "SELECT timestampdiff('month', DATE '2026-01-31', DATE '2026-03-30')",
    result: "1",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| if types.len() == 3 { coerce(types) } else { Err("a unit and two dates or timestamps".to_owned()) },
        returns: int64,
        invoke,
        simplify: None,
    }),
};

/// `months_between(end, start)`.
pub static MONTHS_BETWEEN: Function = Function {
    name: "months_between",
    aliases: &[],
    group: Group::Time,
    signature: "months_between(end, start)",
    help: "months from start to end, fractions by 31 days, to 8 digits",
    example: "SELECT months_between(DATE '2026-03-31', DATE '2026-02-28')",
    result: "1.0",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: |types| match types {
            [end, start] if instant(end).is_some() && instant(start).is_some() => Ok(vec![micros(), micros()]),
            _ => Err("two dates or timestamps".to_owned()),
        },
        returns: |_, _| Ok(DataType::Float64),
        invoke: |args| over_arrays(args, |arrays| months_between(&arrays[0], &arrays[1])),
        simplify: None,
    }),
};

fn micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn int64(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn coerce(types: &[DataType]) -> Result<Vec<DataType>, String> {
    match types {
        [end, start] if instant(end).is_some() && instant(start).is_some() => Ok(vec![DataType::Date32, DataType::Date32]),
        [unit, start, end] if is_text(unit) && instant(end).is_some() && instant(start).is_some() => {
            Ok(vec![DataType::Utf8, micros(), micros()])
        }
        _ => Err("two dates or timestamps, or a unit and two dates or timestamps".to_owned()),
    }
}

fn invoke(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let unit = match args.args.as_slice() {
        [ColumnarValue::Scalar(unit), _, _] => Unit::constant(Some(unit))?,
        [_, _, _] => Unit::constant(None)?,
        _ => Unit::Days(1),
    };
    over_arrays(args, |arrays| match arrays {
        [end, start] => days(end, start),
        [_, start, end] => units(start, end, unit),
        _ => plan_err!("a difference of dates takes 2 or 3 arguments"),
    })
}

fn days(end: &ArrayRef, start: &ArrayRef) -> Result<ArrayRef> {
    let pairs = end.as_primitive::<Date32Type>().iter().zip(start.as_primitive::<Date32Type>());
    let days: Int64Array = pairs.map(|(end, start)| Some(i64::from(end?) - i64::from(start?))).collect();
    Ok(Arc::new(days))
}

fn units(start: &ArrayRef, end: &ArrayRef, unit: Unit) -> Result<ArrayRef> {
    let (start, end) = (cast(start, &micros())?, cast(end, &micros())?);
    let pairs = start.as_primitive::<TimestampMicrosecondType>().iter().zip(end.as_primitive::<TimestampMicrosecondType>());
    let units: Int64Array = pairs
        .map(|(start, end)| {
            let (start, end) = (start?, end?);
            let elapsed = i128::from(end) - i128::from(start);
            match unit {
                Unit::Months(months) => whole_months(start, end).map(|between| between / i64::from(months)),
                Unit::Days(days) => i64::try_from(elapsed / (i128::from(days) * i128::from(MICROS_PER_DAY))).ok(),
                // Beyond 292 years there is no count of nanoseconds in 64 bits; NULL as for any date out of range.
                Unit::Nanos(nanos) => i64::try_from(elapsed * 1_000 / i128::from(nanos)).ok(),
            }
        })
        .collect();
    Ok(Arc::new(units))
}

fn date_time(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|instant| instant.naive_utc())
}

/// Whole months from `start` to `end`, towards zero; `None` outside the calendar.
fn whole_months(start: i64, end: i64) -> Option<i64> {
    let (first, last) = (date_time(start)?, date_time(end)?);
    let months = i64::from(last.year() - first.year()) * 12 + i64::from(last.month()) - i64::from(first.month());
    let (first, last) = ((first.day(), first.time()), (last.day(), last.time()));
    Some(match months {
        1.. if last < first => months - 1,
        ..=-1 if last > first => months + 1,
        _ => months,
    })
}

/// As Hive and Oracle: two last days of months are whole months apart.
fn months_between(end: &ArrayRef, start: &ArrayRef) -> Result<ArrayRef> {
    let pairs = end.as_primitive::<TimestampMicrosecondType>().iter().zip(start.as_primitive::<TimestampMicrosecondType>());
    let months: arrow::array::Float64Array = pairs
        .map(|(end, start)| {
            let (end, start) = (date_time(end?)?, date_time(start?)?);
            let whole = f64::from((end.year() - start.year()) * 12 + end.month() as i32 - start.month() as i32);
            let last_day = |date: &NaiveDateTime| date.date().succ_opt().is_none_or(|next| next.month() != date.month());
            if end.day() == start.day() || (last_day(&end) && last_day(&start)) {
                return Some(whole);
            }
            let of_month = |date: &NaiveDateTime| {
                let in_day = (date.time() - chrono::NaiveTime::MIN).num_milliseconds() as f64 / 86_400_000.0;
                f64::from(date.day()) + in_day
            };
            Some(((whole + (of_month(&end) - of_month(&start)) / 31.0) * 1e8).round() / 1e8)
        })
        .collect();
    Ok(Arc::new(months))
}
