//! Predictions as the columns that SQL shows, in BigQuery's names and shapes.

use super::learned::{Predictions, Task};
use crate::error::{Error, Result};
use datafusion::arrow::array::{Array, ArrayRef, Float64Array, Int64Array, ListArray, StructArray, UInt32Array};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use std::sync::Arc;

/// The columns that a task adds.
pub(super) fn fields(task: &Task) -> Vec<Field> {
    match task {
        Task::Regression { label } => vec![Field::new(format!("predicted_{label}"), DataType::Float64, true)],
        Task::Classification { label, classes } => vec![
            Field::new(format!("predicted_{label}"), classes.data_type().clone(), true),
            list_field(&format!("predicted_{label}_probs"), pair_fields("label", classes.data_type(), "prob")),
        ],
        Task::Clustering { .. } => vec![
            Field::new("centroid_id", DataType::Int64, true),
            list_field("nearest_centroids_distance", pair_fields("centroid_id", &DataType::Int64, "distance")),
        ],
        Task::Reduction { n_components } => {
            (1..=*n_components).map(|n| Field::new(format!("principal_component_{n}"), DataType::Float64, true)).collect()
        }
    }
}

fn list_field(name: &str, of: Fields) -> Field {
    Field::new(name, DataType::List(Arc::new(Field::new_list_field(DataType::Struct(of), true))), true)
}

fn pair_fields(name: &str, data_type: &DataType, number: &str) -> Fields {
    Fields::from(vec![Field::new(name, data_type.clone(), true), Field::new(number, DataType::Float64, true)])
}

/// The values of [`fields`].
///
/// # Errors
/// Only internal ones.
pub(super) fn columns(task: &Task, predictions: &Predictions, n_rows: usize) -> Result<Vec<ArrayRef>> {
    let width = task.width();
    if predictions.values.len() != n_rows * width || predictions.chosen.as_ref().is_some_and(|chosen| chosen.len() != n_rows) {
        return Err(Error::internal("a model predicted another number of rows than it was given"));
    }
    let values = predictions.values.as_slice();
    match task {
        Task::Regression { .. } => Ok(vec![numbers(values.iter().copied())]),
        Task::Reduction { n_components } => {
            Ok((0..*n_components).map(|component| numbers(values.iter().skip(component).step_by(width.max(1)).copied())).collect())
        }
        Task::Classification { classes, .. } => {
            let ranked = Ranked::of(values, width, n_rows, |left, right| right.total_cmp(&left));
            let first = (0..n_rows).map(|row| match &predictions.chosen {
                _ if ranked.nulls.is_null(row) => None,
                Some(chosen) => Some(chosen[row]),
                None => ranked.places.get(row * width).copied(),
            });
            let first = take(classes, &first.collect::<UInt32Array>(), None).map_err(unbuilt)?;
            let labels = take(classes, &UInt32Array::from(ranked.places.clone()), None).map_err(unbuilt)?;
            let lists = ranked.lists(pair_fields("label", classes.data_type(), "prob"), labels, width)?;
            Ok(vec![first, lists])
        }
        Task::Clustering { first_id, .. } => {
            let ranked = Ranked::of(values, width, n_rows, |left, right| left.total_cmp(&right));
            let id = |place: u32| first_id + i64::from(place);
            let nearest = (0..n_rows).map(|row| (!ranked.nulls.is_null(row)).then(|| id(ranked.places[row * width])));
            let nearest: ArrayRef = Arc::new(nearest.collect::<Int64Array>());
            let ids: ArrayRef = Arc::new(ranked.places.iter().map(|place| Some(id(*place))).collect::<Int64Array>());
            let lists = ranked.lists(pair_fields("centroid_id", &DataType::Int64, "distance"), ids, width)?;
            Ok(vec![nearest, lists])
        }
    }
}

/// NaN becomes NULL.
fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(values.map(|value| Some(value).filter(|value| !value.is_nan())).collect::<Float64Array>())
}

/// The numbers of every row in order, best first; equal ones keep the order of their places.
struct Ranked {
    places: Vec<u32>,
    values: Vec<f64>,
    /// Rows with a NaN.
    nulls: NullBuffer,
}

impl Ranked {
    fn of(values: &[f64], width: usize, n_rows: usize, order: impl Fn(f64, f64) -> std::cmp::Ordering) -> Self {
        let mut places = Vec::with_capacity(values.len());
        let mut sorted = Vec::with_capacity(values.len());
        let mut valid = Vec::with_capacity(n_rows);
        for row in values.chunks_exact(width.max(1)) {
            let begin = places.len();
            places.extend(0..width as u32);
            // Sorting is stable: equal numbers keep their order.
            places[begin..].sort_by(|left, right| order(row[*left as usize], row[*right as usize]));
            sorted.extend(places[begin..].iter().map(|place| row[*place as usize]));
            valid.push(!row.iter().any(|value| value.is_nan()));
        }
        // A model of no class or cluster has no answer.
        valid.resize(n_rows, false);
        Self { places, values: sorted, nulls: NullBuffer::from(valid) }
    }

    fn lists(&self, fields: Fields, names: ArrayRef, width: usize) -> Result<ArrayRef> {
        let n_rows = self.nulls.len();
        let values: ArrayRef = Arc::new(Float64Array::from(self.values.clone()));
        let pairs = StructArray::try_new(fields.clone(), vec![names, values], None).map_err(unbuilt)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(width, n_rows));
        let nulls = (self.nulls.null_count() > 0).then(|| self.nulls.clone());
        ListArray::try_new(item, offsets, Arc::new(pairs), nulls).map(|lists| Arc::new(lists) as ArrayRef).map_err(unbuilt)
    }
}

fn unbuilt(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("could not build predictions: {error}"))
}
