//! The `ML.` table functions: a model's own numbers, or a model applied to the rows of a query.

use crate::catalog::Model;
use crate::engine::planning::Planning;
use crate::engine::{ddl, dml, errors};
use crate::error::{Code, Error, Result};
use crate::models::TrainedModel;
use crate::parser::MlCall;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::StreamExt;
use std::sync::Arc;

/// Functions that later versions will have.
const LATER: &[&str] = &[
    "recommend",
    "predict",
    "trial_info",
    "training_info",
    "feature_info",
    "feature_importance",
    "weights",
    "confusion_matrix",
    "roc_curve",
    "explain_predict",
    "centroids",
    "global_explain",
];

/// The table that an `ML.` function stands for. Rows are read when the statement runs, not before.
pub async fn table(planning: &Planning, call: &MlCall, values: Option<&[ScalarValue]>) -> Result<Arc<dyn TableProvider>> {
    let model = find(planning, call)?;
    match call.function.as_str() {
        "evaluate" => evaluate(planning, call, &model, values).await,
        later if LATER.contains(&later) => Err(Error::new(Code::NotSupported, format!("ML.{} is not supported yet", later.to_uppercase()))),
        other => {
            let name = format!("ML.{}", other.to_uppercase());
            let known: Vec<String> =
                std::iter::once(&"evaluate").chain(LATER).map(|known| format!("ML.{}", known.to_uppercase())).collect();
            let what = format!("function \"{name}\" does not exist");
            Err(Error::unknown(Code::UndefinedFunction, what, &name, known.iter().map(String::as_str)))
        }
    }
}

fn find(planning: &Planning, call: &MlCall) -> Result<Arc<Model>> {
    let key = planning.key(&call.model.0)?;
    planning.snapshot().models.get(&key).cloned().ok_or_else(|| ddl::model::undefined(planning.snapshot(), &key))
}

async fn evaluate(planning: &Planning, call: &MlCall, model: &Model, values: Option<&[ScalarValue]>) -> Result<Arc<dyn TableProvider>> {
    if let Some(option) = call.options.first() {
        return Err(Error::new(Code::InvalidParameter, format!("ML.EVALUATE has no option \"{}\"", option.key)));
    }
    let trained = planning.engine().models().load(model, model.default_version)?.model;
    let Some(input) = &call.input else {
        // What the held-out split of the training said.
        let batch = trained.held_out()?.to_batch()?;
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(errors::from_datafusion)?;
        return Ok(Arc::new(table));
    };
    let mut plan = Box::pin(planning.query(input, values)).await?;
    if let Some(values) = values {
        plan = dml::bind(plan, values)?;
    }
    // With open parameters only the schema is wanted.
    let physical = match values {
        None if input.n_parameters > 0 => None,
        _ => Some(planning.state().create_physical_plan(&plan).await.map_err(errors::from_datafusion)?),
    };
    let schema = trained.evaluation_form().schema()?;
    let evaluate = Evaluate { schema: Arc::clone(&schema), trained, physical };
    let table = StreamingTable::try_new(schema, vec![Arc::new(evaluate)]).map_err(errors::from_datafusion)?;
    Ok(Arc::new(table))
}

/// Scores the rows of a query when it is executed.
#[derive(Debug)]
struct Evaluate {
    schema: SchemaRef,
    trained: TrainedModel,
    physical: Option<Arc<dyn ExecutionPlan>>,
}

impl PartitionStream for Evaluate {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (trained, physical) = (self.trained.clone(), self.physical.clone());
        let batch = async move {
            let Some(physical) = physical else {
                return Err(Error::new(Code::InvalidParameter, "the parameters of the statement are not bound").into());
            };
            let rows = execute_stream(physical, context)?;
            let schema = rows.schema();
            let rows = rows.map(|batch| batch.map_err(errors::from_datafusion)).boxed();
            Ok(trained.evaluate(&schema, rows).await?.to_batch()?)
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::once(batch)))
    }
}
