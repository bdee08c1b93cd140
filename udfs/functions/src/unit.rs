//! Units of time as SQL dialects spell them.

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err};

/// A unit of date arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Year, quarter, month: so many months.
    Months(i32),
    /// Week, day: so many days.
    Days(i32),
    /// Hour and less: so many nanoseconds.
    Nanos(i64),
}

/// Names in lower case, without the `SQL_TSI_` of ODBC and without a plural `s`.
const UNITS: &[(&[&str], Unit)] = &[
    (&["year", "yy", "yyyy"], Unit::Months(12)),
    (&["quarter", "qq", "q"], Unit::Months(3)),
    (&["month", "mm", "mon"], Unit::Months(1)),
    (&["week", "wk", "ww"], Unit::Days(7)),
    (&["day", "dd", "d", "dayofyear"], Unit::Days(1)),
    (&["hour", "hh"], Unit::Nanos(3_600_000_000_000)),
    (&["minute", "mi", "n", "min"], Unit::Nanos(60_000_000_000)),
    (&["second", "sec"], Unit::Nanos(1_000_000_000)),
    (&["millisecond", "ms"], Unit::Nanos(1_000_000)),
    (&["microsecond", "us", "mcs"], Unit::Nanos(1_000)),
    // ODBC counts fractions in billionths.
    (&["nanosecond", "ns", "frac_second"], Unit::Nanos(1)),
];

impl Unit {
    /// Reads `month`, `MONTHS`, `SQL_TSI_MONTH` ..
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let lower = text.trim().to_lowercase();
        let name = lower.strip_prefix("sql_tsi_").unwrap_or(&lower);
        let find = |name: &str| UNITS.iter().find(|(names, _)| names.contains(&name)).map(|(_, unit)| *unit);
        match find(name).or_else(|| name.strip_suffix('s').and_then(find)) {
            Some(unit) => Ok(unit),
            None => exec_err!("\"{text}\" is not a unit of time: use year, quarter, month, week, day, hour, minute, second or less"),
        }
    }

    /// The unit in a constant argument; functions over units need to know it when they are planned.
    pub(crate) fn constant(scalar: Option<&ScalarValue>) -> Result<Self> {
        match scalar.and_then(|scalar| scalar.try_as_str().flatten()) {
            Some(text) => Self::parse(text),
            None => exec_err!("the unit of time must be a constant, such as 'month'"),
        }
    }
}

/// The type of a sum of a point in time and units: a date stays a date only under whole days.
pub(crate) fn sum_type(field: &FieldRef, unit: Unit) -> DataType {
    match (field.data_type(), unit) {
        (DataType::Date32, Unit::Nanos(_)) => DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None),
        (other, _) => other.clone(),
    }
}
