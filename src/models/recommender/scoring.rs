//! `ML.PREDICT` of a recommender: the rating that each row's user would give its item.

use super::RecommenderModel;
use super::columns;
use crate::error::{Code, Error, Result};
use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;
use weir_functions::Recommender;

impl RecommenderModel {
    /// The places of the user and the item column in a schema.
    ///
    /// # Errors
    /// `UndefinedColumn`, and `InvalidStatement` for a column that cannot hold ids.
    pub fn input_places(&self, schema: &Schema) -> Result<Vec<usize>> {
        let [user, item, _] = self.column_names();
        columns::user_and_item(&self.name, [user, item], schema).map(Vec::from)
    }

    /// The column that [`RecommenderModel::predict_rows`] adds: `predicted_<rating>`.
    ///
    /// # Errors
    /// Those of [`RecommenderModel::input_places`].
    pub fn output_fields(&self, schema: &Schema) -> Result<Vec<Field>> {
        self.input_places(schema)?;
        Ok(vec![Field::new(format!("predicted_{}", self.rating_column), DataType::Float64, true)])
    }

    /// The predicted rating of every row; by the model's cold-start strategy for users and items that it does not know.
    ///
    /// # Errors
    /// Those of [`RecommenderModel::input_places`], `InvalidStatement` for ids of another kind.
    pub fn predict_rows(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let places = self.input_places(rows.schema_ref())?;
        let scores = self.predict_many(rows.column(places[0]), rows.column(places[1])).map_err(|error| {
            Error::new(Code::InvalidStatement, format!("the rows do not fit model \"{}\"", self.name))
                .detail(format!("{}.", error.strip_backtrace()))
        })?;
        Ok(vec![Arc::new(scores)])
    }
}
