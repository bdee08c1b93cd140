//! How good a model is: the one row of `ML.EVALUATE`.

use super::report;
use crate::error::Result;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A number of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// `None` where it is undefined: no row could be scored, one class only.
    Number(Option<f64>),
    /// A number of rows.
    Count(u64),
}

/// Measures by name, in the order of the columns. A kind of model always gives the same names and types:
/// the columns of `ML.EVALUATE` are known before a row is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub measures: Vec<(String, Measure)>,
}

impl Evaluation {
    /// The measures in this order.
    pub fn new<'a>(measures: impl IntoIterator<Item = (&'a str, Measure)>) -> Self {
        Self { measures: measures.into_iter().map(|(name, measure)| (name.to_owned(), measure)).collect() }
    }

    /// The mean of evaluations of one form, as of the folds of a cross-validation; counts are summed. An evaluation in which a
    /// measure is undefined does not count in its mean.
    pub fn mean(evaluations: &[Self]) -> Self {
        let Some(first) = evaluations.first() else { return Self::default() };
        let merged = |(place, (name, measure)): (usize, &(String, Measure))| {
            let column = evaluations.iter().filter_map(|evaluation| evaluation.measures.get(place)).map(|(_, measure)| *measure);
            let merged = match measure {
                Measure::Count(_) => {
                    Measure::Count(column.map(|measure| if let Measure::Count(count) = measure { count } else { 0 }).sum())
                }
                Measure::Number(_) => {
                    let known: Vec<f64> =
                        column.filter_map(|measure| if let Measure::Number(number) = measure { number } else { None }).collect();
                    Measure::Number((!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64))
                }
            };
            (name.clone(), merged)
        };
        Self { measures: first.measures.iter().enumerate().map(merged).collect() }
    }

    /// A measure by name; `None` when it is undefined or not there.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.measures.iter().find(|(known, _)| known == name).and_then(|(_, measure)| match measure {
            Measure::Number(number) => *number,
            Measure::Count(count) => Some(*count as f64),
        })
    }

    /// The columns.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn schema(&self) -> Result<SchemaRef> {
        Ok(self.to_batch()?.schema())
    }

    /// The row.
    ///
    /// # Errors
    /// Only internal ones.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let column = |measure: &Measure| -> ArrayRef {
            match measure {
                Measure::Number(number) => Arc::new(Float64Array::from(vec![*number])),
                Measure::Count(count) => Arc::new(Int64Array::from(vec![i64::try_from(*count).unwrap_or(i64::MAX)])),
            }
        };
        report::batch(self.measures.iter().map(|(name, measure)| (name.as_str(), column(measure))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_leaves_out_what_is_undefined_and_sums_counts() {
        let number = Measure::Number;
        let fold = |r2, auc, rows| Evaluation::new([("r2", number(r2)), ("auc", number(auc)), ("rows", Measure::Count(rows))]);
        let mean = Evaluation::mean(&[fold(Some(0.5), None, 3), fold(None, None, 4), fold(Some(1.0), None, 4)]);
        assert_eq!(mean, fold(Some(0.75), None, 11));
        assert_eq!(Evaluation::mean(&[]), Evaluation::default());
    }
}
