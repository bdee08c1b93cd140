//! How good a model is on rows that it has not been trained on.

use super::RecommenderModel;
use super::columns::Columns;
use super::ids::Key;
use super::training::ratings_of;
use crate::error::{Error, Result};
use datafusion::arrow::array::{Float64Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use weir_ml::metrics::RatingErrors;

/// The one row of `ML.EVALUATE`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// `None` when no row could be scored.
    #[serde(with = "exact")]
    pub rmse: Option<f64>,
    #[serde(with = "exact")]
    pub mae: Option<f64>,
    /// Rows to score.
    pub rows_eval: u64,
    /// Those of them whose user or item the model does not know: they count in no metric.
    pub rows_eval_dropped: u64,
}

/// Numbers as text: our JSON reader may change the last bit of a number, and an evaluation must not change
/// because the server was restarted.
mod exact {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    /// Writes the number as text: JSON has no NaN and may lose the last bit.
    pub fn serialize<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        number.map(|number| number.to_string()).serialize(serializer)
    }

    /// Reads what `serialize` wrote.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

impl Evaluation {
    pub(super) fn new(errors: &RatingErrors, rows_eval_dropped: u64) -> Self {
        Self { rmse: errors.rmse(), mae: errors.mae(), rows_eval: errors.n_rows() + rows_eval_dropped, rows_eval_dropped }
    }

    /// The columns of `ML.EVALUATE`.
    pub fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("rmse", DataType::Float64, true),
            Field::new("mae", DataType::Float64, true),
            Field::new("rows_eval", DataType::Int64, true),
            Field::new("rows_eval_dropped", DataType::Int64, true),
        ]))
    }

    /// The row.
    pub fn to_batch(&self) -> Result<RecordBatch> {
        let count = |n: u64| Int64Array::from(vec![i64::try_from(n).unwrap_or(i64::MAX)]);
        RecordBatch::try_new(
            Self::schema(),
            vec![
                Arc::new(Float64Array::from(vec![self.rmse])),
                Arc::new(Float64Array::from(vec![self.mae])),
                Arc::new(count(self.rows_eval)),
                Arc::new(count(self.rows_eval_dropped)),
            ],
        )
        .map_err(|error| Error::internal(format!("could not build the evaluation: {error}")))
    }
}

/// Scores the rows of a query, whose columns are found by the names of the training query.
///
/// Dropping the future stops it.
///
/// # Errors
/// `UndefinedColumn` for a missing column, `InvalidValue` with the row for a rating that is NULL or not finite,
/// and those of `rows`.
pub async fn evaluate(
    model: &RecommenderModel,
    schema: &Schema,
    mut rows: impl Stream<Item = Result<RecordBatch>> + Unpin + Send,
) -> Result<Evaluation> {
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
    Ok(Evaluation::new(&errors, dropped))
}
