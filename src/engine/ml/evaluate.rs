//! `ML.EVALUATE(MODEL m [, TABLE t | (query)])`: how good a model is.

use super::MlTable;
use crate::engine::errors;
use crate::error::Result;
use crate::models::TrainedModel;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use std::sync::Arc;

impl MlTable<'_> {
    /// The measures of the rows of a query; without one, of those held out in training.
    pub(super) async fn evaluate(&self, model: TrainedModel) -> Result<Arc<dyn TableProvider>> {
        self.check_options(&[])?;
        let Some(plan) = self.input().await? else {
            return super::rows(model.held_out()?.to_batch()?);
        };
        let physical = self.physical(&plan).await?;
        let schema = model.evaluation_form().schema()?;
        let evaluate = Evaluate { schema: Arc::clone(&schema), model, physical };
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(evaluate)]).map_err(errors::from_datafusion)?))
    }
}

/// Scores the rows of a query when it is executed.
#[derive(Debug)]
struct Evaluate {
    schema: SchemaRef,
    model: TrainedModel,
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl PartitionStream for Evaluate {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (model, physical) = (self.model.clone(), self.physical.clone());
        let batch = async move {
            let rows = execute_stream(physical.ok_or_else(super::unbound)?, context)?;
            let schema = rows.schema();
            let rows = rows.map(|batch| batch.map_err(errors::from_datafusion)).boxed();
            Ok(model.evaluate(&schema, rows).await?.to_batch()?)
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(batch)))
    }
}
