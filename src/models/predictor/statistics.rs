//! What the training rows held in a column: the rows of `ML.FEATURE_INFO`.

use super::features::Feature;
use crate::error::Result;
use crate::models::report;
use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A summary of one column.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// Of number columns with at least one value.
    pub numbers: Option<Numbers>,
    /// Different values of category columns.
    pub n_categories: Option<u64>,
    pub n_missing: u64,
}

/// A summary of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Numbers {
    pub min: f64,
    pub max: f64,
    pub mean: f64,
    pub median: f64,
    /// Of the sample (n - 1); `None` of a single value.
    pub deviation: Option<f64>,
}

impl Summary {
    /// Summarises numbers; NaN is missing. Takes memory for a copy of them.
    pub fn of_numbers(values: &[f64]) -> Self {
        let mut known: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        let n_missing = (values.len() - known.len()) as u64;
        if known.is_empty() {
            return Self { n_missing, ..Self::default() };
        }
        // In order, so that the sums do not depend on the order of the rows.
        known.sort_unstable_by(f64::total_cmp);
        let (n, middle) = (known.len(), known.len() / 2);
        let median = if n % 2 == 1 { known[middle] } else { known[middle - 1] / 2.0 + known[middle] / 2.0 };
        // Around the median, so that large numbers lose no digits.
        let mean = median + known.iter().map(|value| (value - median) / n as f64).sum::<f64>();
        let squares: f64 = known.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (n > 1).then(|| (squares / (n - 1) as f64).sqrt()).filter(|deviation| deviation.is_finite());
        let numbers = Numbers { min: known[0], max: known[n - 1], mean, median, deviation };
        Self { numbers: Some(numbers), n_categories: None, n_missing }
    }

    /// Summarises categories.
    pub fn of_categories(n_categories: u64, n_missing: u64) -> Self {
        Self { numbers: None, n_categories: Some(n_categories), n_missing }
    }
}

/// The rows of `ML.FEATURE_INFO`.
pub(super) fn feature_info(features: &[Feature]) -> Result<RecordBatch> {
    let number = |of: fn(&Numbers) -> Option<f64>| {
        let values: Float64Array = features.iter().map(|feature| feature.summary.numbers.as_ref().and_then(of)).collect();
        Arc::new(values)
    };
    let count = |of: fn(&Summary) -> Option<u64>| {
        let values: Int64Array = features.iter().map(|feature| of(&feature.summary).map(u64::cast_signed)).collect();
        Arc::new(values)
    };
    report::batch(vec![
        ("input", Arc::new(features.iter().map(|feature| Some(feature.input.name.as_str())).collect::<StringArray>())),
        ("min", number(|numbers| Some(numbers.min))),
        ("max", number(|numbers| Some(numbers.max))),
        ("mean", number(|numbers| Some(numbers.mean))),
        ("median", number(|numbers| Some(numbers.median))),
        ("stddev", number(|numbers| numbers.deviation)),
        ("category_count", count(|summary| summary.n_categories)),
        ("null_count", count(|summary| Some(summary.n_missing))),
    ])
}
