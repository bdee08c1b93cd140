//! An order-free hash of rows that weir, DuckDB, Python and this process compute alike.
//!
//! Each value becomes a number: integers are themselves, timestamps their microseconds, decimals their thousandths,
//! booleans 0 and 1, texts the first seven hex digits of their SHA-256, NULL is [`NULL`]. With P = 2^31 - 1 and the
//! numbers v1, v2, .. of a row (its partition and offset first):
//! ```text
//! x = sum of (vi mod P) * (48271^i mod P) mod P      y the same with 16807      hash of the row = (x*x mod P, y*y mod P)
//! ```
//! That is 62 bits, and all intermediate values fit into 64 bits with a sign. The hashes are added up: the order does
//! not matter, but each value's row does. `tests/clients/stream_compare.py` has the same formula.

use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;

const P: i64 = 2_147_483_647;
const BASES: [i64; 2] = [48_271, 16_807];
/// What NULL counts as.
const NULL: i64 = 1_000_003;
const TEXT_DIGITS: usize = 7;
const KNOWN_TEXTS_MAX: usize = 10_000;

/// How the values of a column become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Integer,
    /// A number with at most three decimals, in a `DOUBLE` or `DECIMAL`.
    Thousandths,
    Text,
    Boolean,
    /// A timestamp in microseconds.
    Timestamp,
}

impl Kind {
    /// Its name for `stream_compare.py`.
    fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Thousandths => "thousandths",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
        }
    }

    fn sql(self, column: &str) -> String {
        match self {
            Self::Integer => format!("CAST({column} AS BIGINT)"),
            Self::Thousandths => format!("CAST(round({column} * 1000) AS BIGINT)"),
            Self::Boolean => format!("CAST(CAST({column} AS INT) AS BIGINT)"),
            Self::Timestamp => format!("CAST(arrow_cast({column}, 'Timestamp(Microsecond, None)') AS BIGINT)"),
            Self::Text => {
                let digit = |at| format!("(strpos('0123456789abcdef', substr(encode(sha256({column}), 'hex'), {at}, 1)) - 1)");
                let digits: Vec<String> =
                    (1..=TEXT_DIGITS).map(|at| format!("{} * {}", digit(at), 16_i64.pow((TEXT_DIGITS - at) as u32))).collect();
                format!("CAST({} AS BIGINT)", digits.join(" + "))
            }
        }
    }
}

/// The number of a text.
pub fn text_number(text: &str) -> i64 {
    // Without optimisation a digest takes longer than the rest of the row, and most texts come again.
    thread_local!(static KNOWN: RefCell<HashMap<String, i64>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        if let Some(number) = known.get(text) {
            return *number;
        }
        let digest = Sha256::digest(text.as_bytes());
        let start = i64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
        let number = start >> (32 - 4 * TEXT_DIGITS);
        if known.len() < KNOWN_TEXTS_MAX {
            known.insert(text.to_owned(), number);
        }
        number
    })
}

/// The columns that are hashed, besides partition and offset.
#[derive(Debug, Clone)]
pub struct RowHash {
    columns: Vec<(&'static str, Kind)>,
    /// For partition, offset and each column.
    multipliers: [Vec<i64>; 2],
}

impl RowHash {
    /// The hash over these columns.
    pub fn new(columns: &[(&'static str, Kind)]) -> Self {
        let powers = |base: i64| {
            let first = (0..columns.len() + 2).scan(1, |power, _| {
                *power = *power * base % P;
                Some(*power)
            });
            first.collect()
        };
        Self { columns: columns.to_vec(), multipliers: BASES.map(powers) }
    }

    /// The columns as `stream_compare.py` reads them.
    pub fn columns_json(&self) -> serde_json::Value {
        self.columns.iter().map(|(name, kind)| serde_json::json!([name, kind.name()])).collect()
    }

    /// The two halves of a row's hash; `values` are the numbers of the columns.
    pub fn of(&self, partition: i32, offset: i64, values: &[Option<i64>]) -> [i64; 2] {
        assert_eq!(values.len(), self.columns.len(), "one number for each column");
        let place = [Some(i64::from(partition)), Some(offset)];
        BASES
            .iter()
            .enumerate()
            .map(|(lane, _)| {
                let numbers = place.iter().chain(values).map(|value| value.unwrap_or(NULL).rem_euclid(P));
                let x = numbers.zip(&self.multipliers[lane]).map(|(number, multiplier)| number * multiplier % P).sum::<i64>() % P;
                x * x % P
            })
            .collect::<Vec<_>>()
            .try_into()
            .expect("two lanes")
    }

    /// The query for weir: for each partition its number, rows, different offsets, first and last offset, and the sums of the hash.
    pub fn sql(&self, table: &str, partition: &str, offset: &str) -> String {
        let columns = self.columns.iter().map(|(name, kind)| kind.sql(name));
        let numbers: Vec<String> = [Kind::Integer.sql(partition), Kind::Integer.sql(offset)].into_iter().chain(columns).collect();
        let mut lanes = String::new();
        for (name, multipliers) in ["x", "y"].iter().zip(&self.multipliers) {
            let terms = numbers.iter().enumerate().zip(multipliers);
            let terms: Vec<String> = terms.map(|((at, _), multiplier)| format!("n{at} * {multiplier} % {P}")).collect();
            let _ = write!(lanes, ", ({}) % {P} AS {name}", terms.join(" + "));
        }
        let named = numbers.iter().enumerate().map(|(at, number)| format!("(coalesce({number}, {NULL}) % {P} + {P}) % {P} AS n{at}"));
        let named = named.collect::<Vec<_>>().join(", ");
        format!(
            "SELECT p, count(*), count(DISTINCT o), min(o), max(o), sum(x * x % {P}), sum(y * y % {P}) \
             FROM (SELECT p, o{lanes} FROM (SELECT {partition} AS p, {offset} AS o, {named} FROM {table}) AS numbers) AS hashes \
             GROUP BY p ORDER BY p"
        )
    }
}
