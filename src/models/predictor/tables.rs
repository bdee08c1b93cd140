//! The tables about trained models: one line per weight, importance, coordinate.

use super::features::{Encoding, Feature};
use crate::error::{Error, Result};
use crate::models::report;
use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;
use weir_ml::cluster::KmeansModel;
use weir_ml::design::{Category, DesignSpec, Term};
use weir_ml::linear::{LinearModel, LogisticModel, Weight};
use weir_ml::pca::PcaModel;

/// What BigQuery calls the constant of a linear model.
const INTERCEPT: &str = "__INTERCEPT__";
/// What the column of missing values is called.
const MISSING_NAME: &str = "NULL";

/// `feature`, `importance`: of sum 1, the largest first.
pub(super) fn feature_importance(features: &[Feature], importances: &[f64]) -> Result<RecordBatch> {
    let mut ranked: Vec<(&str, f64)> =
        features.iter().map(|feature| feature.input.name.as_str()).zip(importances.iter().copied()).collect();
    ranked.sort_by(|left, right| right.1.total_cmp(&left.1));
    report::batch(vec![
        ("feature", texts(ranked.iter().map(|(name, _)| Some(*name)))),
        ("importance", numbers(ranked.iter().map(|(_, importance)| Some(*importance)))),
    ])
}

/// `processed_input`, `category` (NULL for numbers), `weight`, `standard_error`, `p_value`.
pub(super) fn linear_weights(features: &[Feature], model: &LinearModel) -> Result<RecordBatch> {
    let weights: Vec<Weight> = model.weights();
    let names = names(features, weights.iter().map(|weight| weight.term));
    report::batch(vec![
        ("processed_input", texts(names.iter().map(|(input, _)| Some(*input)))),
        ("category", texts(names.iter().map(|(_, category)| *category))),
        ("weight", numbers(weights.iter().map(|weight| Some(weight.estimate)))),
        ("standard_error", numbers(weights.iter().map(|weight| weight.standard_error))),
        ("p_value", numbers(weights.iter().map(|weight| weight.p_value))),
    ])
}

/// `class_label` (the class that a positive weight speaks for), then as [`linear_weights`].
pub(super) fn logistic_weights(features: &[Feature], class_names: &[String], model: &LogisticModel) -> Result<RecordBatch> {
    let n_columns = model.design.n_columns();
    let terms: Vec<Option<Term>> = std::iter::once(None).chain(model.design.terms().into_iter().map(Some)).collect();
    let names = names(features, terms.into_iter());
    let errors = model.fit.standard_errors.as_ref();
    /// Label of the class, name of the term with its category, weight, standard error.
    type Line<'a> = (&'a str, (&'a str, Option<&'a str>), f64, Option<f64>);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (score, intercept) in model.intercepts.iter().enumerate() {
        // The one score of two classes is that of the second.
        let class = model.classes[if model.intercepts.len() == 1 { 1 } else { score }] as usize;
        let label = class_names.get(class).map_or("", String::as_str);
        let estimates = std::iter::once(intercept).chain(&model.coefficients[score * n_columns..(score + 1) * n_columns]);
        let standard_error = |place: usize| errors.map(|errors| if place == 0 { errors.intercept } else { errors.coefficients[place - 1] });
        lines.extend(estimates.enumerate().map(|(place, estimate)| (label, names[place], *estimate, standard_error(place))));
    }
    let p_value = |estimate: f64, error: Option<f64>| errors.zip(error).and_then(|(errors, error)| errors.p_value(estimate, error));
    report::batch(vec![
        ("class_label", texts(lines.iter().map(|line| Some(line.0)))),
        ("processed_input", texts(lines.iter().map(|line| Some(line.1.0)))),
        ("category", texts(lines.iter().map(|line| line.1.1))),
        ("weight", numbers(lines.iter().map(|line| Some(line.2)))),
        ("standard_error", numbers(lines.iter().map(|line| line.3))),
        ("p_value", numbers(lines.iter().map(|line| p_value(line.2, line.3)))),
    ])
}

/// `centroid_id`, `feature`, `category`, `value`: the mean of numbers as they came, the share of categories, and `size`.
pub(super) fn centroids(features: &[Feature], model: &KmeansModel) -> Result<RecordBatch> {
    let moments = if model.design.is_standardised() { model.design.moments() } else { Vec::new() };
    let value = |cluster: usize, column: usize| {
        let value = model.centroids.row(cluster)[column];
        moments.get(column).map_or(value, |(mean, scale)| mean + value * scale)
    };
    let n_clusters = model.centroids.n_rows();
    let ids = |cluster: usize| Some(cluster as i64 + 1);
    let mut columns = coordinates("centroid_id", features, &model.design, n_clusters, ids, value)?;
    let n_columns = model.design.n_columns();
    columns.push(("size", numbers((0..n_clusters * n_columns).map(|place| model.sizes.get(place / n_columns).copied()))));
    report::batch(columns)
}

/// `principal_component_id`, `feature`, `category`, `value`, and the share of the variance that the component explains.
pub(super) fn principal_components(features: &[Feature], model: &PcaModel) -> Result<RecordBatch> {
    let n_components = model.components.n_rows();
    let ids = |component: usize| Some(component as i64 + 1);
    let value = |component: usize, column: usize| model.components.row(component)[column];
    let mut columns = coordinates("principal_component_id", features, &model.design, n_components, ids, value)?;
    let n_columns = model.design.n_columns();
    let of_component = |values: &[f64]| numbers((0..n_components * n_columns).map(|place| values.get(place / n_columns).copied()));
    columns.push(("eigenvalue", of_component(&model.explained_variances)));
    columns.push(("explained_variance_ratio", of_component(&model.explained_shares)));
    report::batch(columns)
}

/// A line for each part and design column.
fn coordinates(
    id: &'static str,
    features: &[Feature],
    design: &DesignSpec,
    n_parts: usize,
    ids: impl Fn(usize) -> Option<i64>,
    value: impl Fn(usize, usize) -> f64,
) -> Result<Vec<(&'static str, ArrayRef)>> {
    let names = names(features, design.terms().into_iter().map(Some));
    if names.len() != design.n_columns() {
        return Err(Error::internal("a design does not name its columns"));
    }
    let n_columns = names.len();
    let places = || (0..n_parts).flat_map(|part| (0..n_columns).map(move |column| (part, column)));
    Ok(vec![
        (id, Arc::new(places().map(|(part, _)| ids(part)).collect::<Int64Array>())),
        ("feature", texts(places().map(|(_, column)| Some(names[column].0)))),
        ("category", texts(places().map(|(_, column)| names[column].1))),
        ("value", numbers(places().map(|(part, column)| Some(value(part, column))))),
    ])
}

/// The input and category that each term stands for.
fn names(features: &[Feature], terms: impl Iterator<Item = Option<Term>>) -> Vec<(&str, Option<&str>)> {
    let name = |term: Option<Term>| {
        let Some((feature, term)) = term.and_then(|term| Some((features.get(term.feature as usize)?, term))) else {
            return (INTERCEPT, None);
        };
        let category = match (term.category, &feature.encoding) {
            (Category::Code(code), Encoding::Category(categories)) => Some(categories.name(code)),
            (Category::Missing, _) => Some(MISSING_NAME),
            _ => None,
        };
        (feature.input.name.as_str(), category)
    };
    terms.map(name).collect()
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Not finite is NULL.
fn numbers(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.filter(|value| value.is_finite())).collect::<Float64Array>())
}
