//! Guesses the type of a column from the texts in it.

use super::value;
use datafusion::arrow::datatypes::{DataType, TimeUnit};

/// The types that all texts so far could have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guess {
    seen: bool,
    integer: bool,
    double: bool,
    boolean: bool,
    date: bool,
    timestamp: bool,
}

impl Default for Guess {
    fn default() -> Self {
        Self { seen: false, integer: true, double: true, boolean: true, date: true, timestamp: true }
    }
}

impl Guess {
    /// Takes one text that is not NULL.
    pub(super) fn add(&mut self, text: &[u8]) {
        self.seen = true;
        self.integer = self.integer && value::integer(text).is_some();
        self.double = self.double && is_double(text);
        self.boolean = self.boolean && is_word_of_truth(text);
        self.date = self.date && value::date(text).is_some();
        self.timestamp = self.timestamp && value::timestamp(text).is_some();
    }

    pub(super) fn merge(&mut self, other: Self) {
        if !other.seen {
            return;
        }
        self.seen = true;
        self.integer &= other.integer;
        self.double &= other.double;
        self.boolean &= other.boolean;
        self.date &= other.date;
        self.timestamp &= other.timestamp;
    }

    /// The narrowest type; STRING for a column without any text.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self { seen: false, .. } => DataType::Utf8,
            Self { integer: true, .. } => DataType::Int64,
            Self { double: true, .. } => DataType::Float64,
            Self { boolean: true, .. } => DataType::Boolean,
            Self { date: true, .. } => DataType::Date32,
            Self { timestamp: true, .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            _ => DataType::Utf8,
        }
    }
}

/// A number with digits, but not a whole one beyond BIGINT: such a long row of digits is a name, and DOUBLE
/// would change it. `NaN` and `inf` may be anybody's initials.
fn is_double(text: &[u8]) -> bool {
    let digits = text.trim_ascii();
    let whole = digits.strip_prefix(b"-").unwrap_or(digits).iter().all(u8::is_ascii_digit);
    digits.iter().any(u8::is_ascii_digit) && value::double(text).is_some() && (!whole || value::integer(text).is_some())
}

/// Only the words: `t` and `f` may be anything, 1 and 0 are numbers.
fn is_word_of_truth(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false")
}
