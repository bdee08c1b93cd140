//! `dayname` and `monthname`: English names, as ODBC and MySQL have them.

use crate::function::{Code, Function, Group, Scalar, instant, over_arrays};
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{DataType, FieldRef, Int32Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Volatility;
use std::sync::Arc;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// `dayname(value)`.
pub static DAY_NAME: Function = Function {
    name: "dayname",
    aliases: &[],
    group: Group::Time,
    signature: "dayname(value)",
    help: "the English name of the day",
    example: "SELECT dayname(DATE '2026-03-08')",
    result: "Sunday",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: of_date,
        returns: text,
        invoke: |args| over_arrays(args, |arrays| names(&arrays[0], DatePart::DayOfWeekSunday0, 0, &DAYS)),
        simplify: None,
    }),
};

/// `monthname(value)`.
pub static MONTH_NAME: Function = Function {
    name: "monthname",
    aliases: &[],
    group: Group::Time,
    signature: "monthname(value)",
    help: "the English name of the month",
    example: "SELECT monthname(DATE '2026-03-08')",
    result: "March",
    code: Code::Scalar(&Scalar {
        volatility: Volatility::Immutable,
        coerce: of_date,
        returns: text,
        invoke: |args| over_arrays(args, |arrays| names(&arrays[0], DatePart::Month, 1, &MONTHS)),
        simplify: None,
    }),
};

fn of_date(types: &[DataType]) -> Result<Vec<DataType>, String> {
    match types {
        [data_type] => instant(data_type).map(|data_type| vec![data_type]),
        _ => None,
    }
    .ok_or_else(|| "one date, timestamp or text".to_owned())
}

fn text(_fields: &[FieldRef], _constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn names(array: &ArrayRef, part: DatePart, first: i32, names: &[&str]) -> Result<ArrayRef> {
    let numbers = date_part(array, part)?;
    let names: StringArray = numbers
        .as_primitive::<Int32Type>()
        .iter()
        .map(|number| number.and_then(|number| usize::try_from(number - first).ok()).and_then(|index| names.get(index).copied()))
        .collect();
    Ok(Arc::new(names))
}
