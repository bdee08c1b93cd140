//! The tables about an imported model: weights, importances, centres, with the names of the columns that the
//! pipeline reads.

use super::model::Model;
use super::params::Invalid;
use super::pipeline::SparkPipeline;
use super::stage::{Op, Step};
use crate::error::Result;
use crate::models::predictor::ModelTable;
use crate::models::predictor::learned::Holds;
use crate::models::report;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

/// What the constant of a linear model is called.
const INTERCEPT: &str = "__INTERCEPT__";

/// A number of the model's vector: the column that it comes from, and the category or place that it stands for.
type Feature = (String, Option<String>);

/// The table; `None` when a model of its kind has none.
pub(super) fn table(pipeline: &SparkPipeline, table: ModelTable) -> Result<Option<RecordBatch>> {
    let features = features(pipeline);
    match (table, pipeline.model()) {
        (ModelTable::FeatureImportance, Model::Trees { importances, .. }) => importance_table(&features, importances).map(Some),
        (ModelTable::Weights, Model::Linear { coefficients, intercept, .. }) => {
            weight_table(&features, &[(None, *intercept, coefficients)]).map(Some)
        }
        (ModelTable::Weights, Model::Logistic { n_features, coefficients, intercepts, .. }) => {
            let rows = coefficients.chunks_exact((*n_features).max(1));
            let class = |row: usize| pipeline.class_names().get(if intercepts.len() == 1 { 1 } else { row }).map(String::as_str);
            let rows: Vec<_> = rows.zip(intercepts).enumerate().map(|(row, (of, intercept))| (class(row), *intercept, of)).collect();
            weight_table(&features, &rows).map(Some)
        }
        (ModelTable::Centroids, Model::Clusters { centres, .. }) => centre_table(&features, centres).map(Some),
        _ => Ok(None),
    }
}

/// `feature`, `importance`: Spark's, added up over the parts of a column; the largest first.
fn importance_table(features: &[Feature], importances: &[f64]) -> Result<RecordBatch> {
    let mut sums: Vec<(&str, f64)> = Vec::new();
    for ((name, _), importance) in features.iter().zip(importances) {
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += importance,
            None => sums.push((name, *importance)),
        }
    }
    sums.sort_by(|left, right| right.1.total_cmp(&left.1));
    report::batch(vec![
        ("feature", texts(sums.iter().map(|(name, _)| Some(*name)))),
        ("importance", numbers(sums.iter().map(|(_, sum)| Some(*sum)))),
    ])
}

/// `class_label` where there are classes, `processed_input`, `category`, `weight` of the feature as the pipeline makes
/// it; Spark does not save standard errors.
fn weight_table(features: &[Feature], rows: &[(Option<&str>, f64, &[f64])]) -> Result<RecordBatch> {
    let constant = (INTERCEPT.to_owned(), None);
    let lines: Vec<(Option<&str>, &Feature, f64)> = rows
        .iter()
        .flat_map(|(class, intercept, weights)| {
            let weights = features.iter().zip(weights.iter()).map(|(feature, weight)| (*class, feature, *weight));
            std::iter::once((*class, &constant, *intercept)).chain(weights)
        })
        .collect();
    let mut columns = Vec::new();
    if rows.iter().any(|(class, ..)| class.is_some()) {
        columns.push(("class_label", texts(lines.iter().map(|line| line.0))));
    }
    columns.extend([
        ("processed_input", texts(lines.iter().map(|line| Some(line.1.0.as_str())))),
        ("category", texts(lines.iter().map(|line| line.1.1.as_deref()))),
        ("weight", numbers(lines.iter().map(|line| Some(line.2)))),
        ("standard_error", numbers(lines.iter().map(|_| None))),
        ("p_value", numbers(lines.iter().map(|_| None))),
    ]);
    report::batch(columns)
}

/// `centroid_id` from 0, `feature`, `category`, `value` as the pipeline makes it; Spark does not save sizes.
fn centre_table(features: &[Feature], centres: &[Vec<f64>]) -> Result<RecordBatch> {
    let lines =
        || (0i64..).zip(centres).flat_map(|(id, centre)| features.iter().zip(centre).map(move |(feature, value)| (id, feature, *value)));
    report::batch(vec![
        ("centroid_id", Arc::new(lines().map(|line| Some(line.0)).collect::<Int64Array>())),
        ("feature", texts(lines().map(|line| Some(line.1.0.as_str())))),
        ("category", texts(lines().map(|line| line.1.1.as_deref()))),
        ("value", numbers(lines().map(|line| Some(line.2)))),
        ("size", numbers(lines().map(|_| None))),
    ])
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Not finite is NULL.
fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.filter(|value| value.is_finite())).collect::<Float64Array>())
}

/// The names of the numbers of the model's vector: places where the stages do not tell.
fn features(pipeline: &SparkPipeline) -> Vec<Feature> {
    let n_features = pipeline.model().n_features();
    let mut named: Vec<Vec<Feature>> = Vec::new();
    for input in pipeline.raw_inputs() {
        named.push(match input.holds {
            Holds::Number | Holds::Category => vec![(input.name.clone(), None)],
            Holds::Vector => (0..n_features).map(|place| (input.name.clone(), Some(place.to_string()))).collect(),
        });
    }
    for step in pipeline.steps() {
        let names = written(step, &named, pipeline.steps());
        // Steps are numbered in order.
        named.push(names);
    }
    match named.get(pipeline.features_place()) {
        Some(names) if names.len() == n_features => names.clone(),
        _ => (0..n_features).map(|place| (pipeline.features_column().to_owned(), Some(place.to_string()))).collect(),
    }
}

/// The names of what a step writes.
fn written(step: &Step, named: &[Vec<Feature>], steps: &[Step]) -> Vec<Feature> {
    let of = |place: &u32| named.get(*place as usize).cloned().unwrap_or_default();
    let first = step.inputs.first().map(of).unwrap_or_default();
    match &step.op {
        Op::Assemble { .. } => step.inputs.iter().flat_map(of).collect(),
        Op::OneHot { n_categories, drop_last, keep_invalid } => {
            let name = first.first().map_or_else(|| step.column.clone(), |(name, _)| name.clone());
            let indexer = steps.iter().find(|other| step.inputs.first() == Some(&other.output));
            let mut labels = match indexer.map(|indexer| &indexer.op) {
                Some(Op::Index { labels, .. }) => labels.names().to_vec(),
                _ => Vec::new(),
            };
            if let Some(Op::Index { invalid: Invalid::Keep, .. }) = indexer.map(|indexer| &indexer.op) {
                // As Spark names it.
                labels.push("__unknown".into());
            }
            let width = (*n_categories as usize + usize::from(*keep_invalid)).saturating_sub(usize::from(*drop_last));
            let category = |place: usize| labels.get(place).cloned().unwrap_or_else(|| place.to_string());
            (0..width).map(|place| (name.clone(), Some(category(place)))).collect()
        }
        Op::Index { .. }
        | Op::Affine { .. }
        | Op::Impute { .. }
        | Op::Bucket { .. }
        | Op::Binarize { .. }
        | Op::Normalize { .. }
        | Op::IndexVector { .. } => first,
    }
}
