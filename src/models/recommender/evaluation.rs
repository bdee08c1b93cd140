//! How good a model is on rows that it has not been trained on.

use super::RecommenderModel;
use super::columns::Columns;
use super::ids::Key;
use super::training::ratings_of;
use crate::error::{Error, Result};
use crate::models::evaluation::{Evaluation, Measure};
use crate::models::training::Rows;
use datafusion::arrow::datatypes::Schema;
use futures::StreamExt;
use weir_ml::metrics::RatingErrors;

/// The measures of predicted ratings; `dropped` rows have a user or item that the model does not know and
/// count in no other measure.
pub(super) fn measures(errors: &RatingErrors, dropped: u64) -> Evaluation {
    Evaluation::new([
        ("rmse", Measure::Number(errors.rmse())),
        ("mae", Measure::Number(errors.mae())),
        ("rows_eval", Measure::Count(errors.n_rows() + dropped)),
        ("rows_eval_dropped", Measure::Count(dropped)),
    ])
}

/// Scores the rows of a query, whose columns are found by the names of the training query.
///
/// Dropping the future stops it.
///
/// # Errors
/// `UndefinedColumn` for a missing column, `InvalidValue` with the row for a rating that is NULL or not finite,
/// and those of `rows`.
pub async fn evaluate(model: &RecommenderModel, schema: &Schema, mut rows: Rows<'_>) -> Result<Evaluation> {
    let columns = Columns::of_model(model.name(), model.column_names(), schema)?;
    let (mut errors, mut dropped, mut first_row) = (RatingErrors::default(), 0, 1);
    let mut ratings = Vec::new();
    while let Some(batch) = rows.next().await.transpose()? {
        ratings.clear();
        let query = "the query to evaluate";
        ratings_of(&batch, columns.rating, query, first_row, &mut ratings)?;
        let [users, items] = [(model.user_ids(), columns.user), (model.item_ids(), columns.item)]
            .map(|(ids, place)| ids.find(batch.column(place)).map_err(|error| Error::internal(error.to_string())));
        for ((user, item), rating) in users?.into_iter().zip(items?).zip(&ratings) {
            match (user, item) {
                (Key::Known(user), Key::Known(item)) => errors.add(f64::from(model.factors().predict(user, item)), f64::from(*rating)),
                _ => dropped += 1,
            }
        }
        first_row += batch.num_rows() as u64;
    }
    Ok(measures(&errors, dropped))
}
