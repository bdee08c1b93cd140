//! How good a model is: `ML.EVALUATE(MODEL m [, TABLE t | (query)] [, STRUCT(0.3 AS threshold)])`, and with the same arguments
//! `ML.CONFUSION_MATRIX` and `ML.ROC_CURVE`.

use super::MlTable;
use crate::engine::errors;
use crate::error::{Code, Error, Result};
use crate::models::{PredictorModel, RecommenderModel, Rows, ScoreTable, TrainedModel};
use crate::parser::OptionValue;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use std::sync::Arc;

impl MlTable<'_> {
    /// The scores of the rows of a query; without one, of those held out in training.
    pub(super) async fn scores(&self, model: TrainedModel, table: ScoreTable) -> Result<Arc<dyn TableProvider>> {
        // Of a curve every threshold is a point.
        self.check_options(if table == ScoreTable::RocCurve { &[] } else { &["threshold"] })?;
        let threshold = self.threshold(&model)?;
        let scored = match model {
            TrainedModel::Predictor(model) => Scored::Predictor { model, table, threshold },
            TrainedModel::Recommender(model) if table == ScoreTable::Evaluate => Scored::Recommender(model),
            TrainedModel::Recommender(model) => {
                let hint = "ML.EVALUATE(MODEL m) says how good its lists and its predicted ratings are.";
                return Err(self.not_of_recommender(&model).hint(hint));
            }
        };
        let schema = scored.schema()?;
        let Some(plan) = self.input().await? else {
            if threshold.is_some() {
                let what = format!("option \"threshold\" of {} needs rows to score", self.name());
                let hint = format!("Write {}(MODEL m, TABLE t, STRUCT(0.3 AS threshold)).", self.name());
                return Err(Error::new(Code::InvalidStatement, what).hint(hint));
            }
            return super::rows(scored.held_out()?);
        };
        let physical = self.physical(&plan).await?;
        let evaluate = Evaluate { schema: Arc::clone(&schema), scored, physical };
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(evaluate)]).map_err(errors::from_datafusion)?))
    }

    /// The option of the probability from which rows are of the second class.
    pub(super) fn threshold(&self, model: &TrainedModel) -> Result<Option<f64>> {
        let Some(option) = self.option("threshold") else { return Ok(None) };
        let TrainedModel::Predictor(model) = model else {
            let what = format!("{} of a recommender has no option \"threshold\"", self.name());
            return Err(Error::new(Code::WrongObject, what));
        };
        let number = match &option.value {
            OptionValue::Number(digits) => digits.parse::<f64>().ok(),
            _ => None,
        };
        let what = || format!("option \"threshold\" of {} must be a number from 0 to 1", self.name());
        let threshold = number.ok_or_else(|| Error::new(Code::InvalidParameter, what()))?;
        model.check_threshold(threshold)?;
        Ok(Some(threshold))
    }
}

/// A model that is scored, and what is told of it.
#[derive(Debug, Clone)]
enum Scored {
    Predictor { model: Arc<PredictorModel>, table: ScoreTable, threshold: Option<f64> },
    Recommender(Arc<RecommenderModel>),
}

impl Scored {
    /// The columns, which are known before a row is read.
    fn schema(&self) -> Result<SchemaRef> {
        match self {
            Self::Predictor { model, table, .. } => Ok(model.score_table(*table, &model.scores_form())?.schema()),
            Self::Recommender(model) => model.evaluation_form().schema(),
        }
    }

    fn held_out(&self) -> Result<RecordBatch> {
        match self {
            Self::Predictor { model, table, .. } => model.score_table(*table, model.held_out_scores(*table)?),
            Self::Recommender(model) => model.held_out()?.to_batch(),
        }
    }

    async fn score(&self, schema: &Schema, rows: Rows<'_>) -> Result<RecordBatch> {
        match self {
            Self::Predictor { model, table, threshold } => model.score_table(*table, &model.score(schema, rows, *threshold).await?),
            Self::Recommender(model) => model.evaluate(schema, rows).await?.to_batch(),
        }
    }
}

/// Scores the rows of a query when it is executed.
#[derive(Debug)]
struct Evaluate {
    schema: SchemaRef,
    scored: Scored,
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl PartitionStream for Evaluate {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (scored, physical) = (self.scored.clone(), self.physical.clone());
        let batch = async move {
            let rows = execute_stream(physical.ok_or_else(super::unbound)?, context)?;
            let schema = rows.schema();
            let rows = rows.map(|batch| batch.map_err(errors::from_datafusion)).boxed();
            Ok(scored.score(&schema, rows).await?)
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(batch)))
    }
}
