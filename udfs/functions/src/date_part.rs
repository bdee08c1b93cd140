//! Parts of a date or timestamp: `year(t)`, `month(t)` .. as BI tools, Hive and ODBC write them.

use crate::function::{Code, Function, Group, Scalar, instant, over_arrays};
use arrow::array::ArrayRef;
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Volatility;

/// One function over one part of the calendar.
macro_rules! part {
    ($constant:ident, $name:literal, $aliases:expr, $part:expr, $coerce:expr, $help:literal, $example:literal, $result:literal) => {
        #[doc = concat!("`", $name, "(value)`: ", $help, ".")]
        pub static $constant: Function = Function {
            name: $name,
            aliases: $aliases,
            group: Group::Time,
            signature: concat!($name, "(value)"),
            help: $help,
            example: $example,
            result: $result,
            code: Code::Scalar(&Scalar {
                volatility: Volatility::Immutable,
                coerce: $coerce,
                returns: int32,
                invoke: |args| over_arrays(args, |arrays| part_of(&arrays[0], $part)),
                simplify: None,
            }),
        };
    };
}

part!(YEAR, "year", &[], DatePart::Year, of_date, "the year", "SELECT year(DATE '2026-03-05')", "2026");
part!(QUARTER, "quarter", &[], DatePart::Quarter, of_date, "the quarter, 1 to 4", "SELECT quarter(DATE '2026-05-05')", "2");
part!(MONTH, "month", &[], DatePart::Month, of_date, "the month, 1 to 12", "SELECT month(TIMESTAMP '2026-03-05 10:00:00')", "3");
part!(
    WEEK,
    "week",
    &["weekofyear"],
    DatePart::Week,
    of_date,
    "the week of ISO 8601, 1 to 53: weeks begin on Monday, week 1 has the first Thursday",
    "SELECT week(DATE '2027-01-03')",
    "53"
);
part!(DAY, "day", &["dayofmonth"], DatePart::Day, of_date, "the day of the month, 1 to 31", "SELECT day('2026-03-05')", "5");
part!(
    DAY_OF_WEEK,
    "dayofweek",
    &[],
    DatePart::DayOfWeekSunday1,
    of_date,
    "the day of the week, 1 = Sunday to 7 = Saturday",
    "SELECT dayofweek(DATE '2026-03-08')",
    "1"
);
part!(
    DAY_OF_YEAR,
    "dayofyear",
    &[],
    DatePart::DayOfYear,
    of_date,
    "the day of the year, 1 to 366",
    "SELECT dayofyear(DATE '2026-02-01')",
    "32"
);
part!(HOUR, "hour", &[], DatePart::Hour, of_time, "the hour, 0 to 23", "SELECT hour(TIMESTAMP '2026-03-05 10:20:30')", "10");
part!(MINUTE, "minute", &[], DatePart::Minute, of_time, "the minute, 0 to 59", "SELECT minute(TIMESTAMP '2026-03-05 10:20:30')", "20");
part!(
    SECOND,
    "second",
    &[],
    DatePart::Second,
    of_time,
    "the whole second, 0 to 59",
    "SELECT second(TIMESTAMP '2026-03-05 10:20:30.7')",
    "30"
);

fn of_date(types: &[DataType]) -> Result<Vec<DataType>, String> {
    match types {
        [data_type] => instant(data_type).map(|data_type| vec![data_type]),
        _ => None,
    }
    .ok_or_else(|| "one date, timestamp or text".to_owned())
}

fn of_time(types: &[DataType]) -> Result<Vec<DataType>, String> {
    match types {
        [DataType::Time32(_) | DataType::Time64(_)] => Ok(vec![DataType::Time64(TimeUnit::Nanosecond)]),
        [_] => of_date(types).map_err(|_| "one timestamp, time, date or text".to_owned()),
        _ => Err("one timestamp, time, date or text".to_owned()),
    }
}

fn int32(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Int32)
}

fn part_of(array: &ArrayRef, part: DatePart) -> Result<ArrayRef> {
    Ok(date_part(array, part)?)
}
