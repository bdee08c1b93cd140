//! `ML.PREDICT(MODEL m, TABLE t | (query) [, STRUCT(0.3 AS threshold)])`: the rows of a query with predictions beside them.
//!
//! The call becomes a part of the plan, a function of the columns that the model reads, so that the rest of
//! the statement reaches the rows: filters go down to their tables, columns that nobody wants are not read,
//! and the rows may be those of a stream.
//!
//! ```text
//! Projection   part(p, 0) AS predicted_x, part(p, 1) AS predicted_x_probs
//!   Filter     what the statement says of predictions
//!     Projection   ml_predict(a, b) AS p                    once for each row that is left
//!       Filter     what the statement says of other columns
//! ```

use super::MlTable;
use crate::engine::errors;
use crate::error::{Code, Error, Result};
use crate::models::{PredictorModel, RecommenderModel, TrainedModel};
use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::{Result as QueryResult, exec_err};
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The column of the plan that holds all predictions of a row, before it is taken apart.
const PREDICTION: &str = "__weir_prediction";

impl MlTable<'_> {
    /// The rows of the query with the model's columns after theirs.
    pub(super) async fn predict(&self, model: TrainedModel) -> Result<Arc<dyn TableProvider>> {
        self.check_options(&["threshold"])?;
        let threshold = self.threshold(&model)?;
        let Some(plan) = self.input().await? else {
            return Err(Error::new(Code::InvalidStatement, "ML.PREDICT needs the rows to predict")
                .hint("Write ML.PREDICT(MODEL m, TABLE t) or ML.PREDICT(MODEL m, (SELECT ..))."));
        };
        let predicting = match model {
            TrainedModel::Predictor(model) => Predicting::Predictor { model, threshold },
            TrainedModel::Recommender(model) => Predicting::Recommender(model),
        };
        Ok(Arc::new(ViewTable::new(with_predictions(plan, predicting)?, None)))
    }
}

/// Puts the model's columns behind those of a plan. A column of the plan that has the name of one of them is left out:
/// predictions of predictions are asked for again and again, and two columns of one name are of no use.
fn with_predictions(plan: LogicalPlan, model: Predicting) -> Result<LogicalPlan> {
    let schema = plan.schema().as_arrow().clone();
    let outputs: Fields = model.output_fields(&schema)?.into();
    let places = model.input_places(&schema)?;
    let columns = plan.schema().columns();
    let arguments: Vec<Expr> = places.iter().map(|place| Expr::Column(columns[*place].clone())).collect();
    let inputs: Fields = places.iter().map(|place| Arc::clone(&schema.fields()[*place])).collect();
    let function = ScalarUDF::new_from_impl(Predict {
        model,
        inputs: Arc::new(Schema::new(inputs)),
        outputs: outputs.clone(),
        signature: signature(),
    });
    let is_replaced = |name: &str| outputs.iter().any(|output| output.name().eq_ignore_ascii_case(name));
    let kept: Vec<Expr> = columns.iter().filter(|column| !is_replaced(&column.name)).cloned().map(Expr::Column).collect();
    let prediction = function.call(arguments).alias(PREDICTION);
    let build = || -> QueryResult<LogicalPlan> {
        let with_struct = LogicalPlanBuilder::from(plan).project(kept.iter().cloned().chain([prediction]))?.build()?;
        let prediction = Expr::Column(datafusion::common::Column::from_name(PREDICTION));
        let taken =
            outputs.iter().enumerate().map(|(place, output)| part(place, output).call(vec![prediction.clone()]).alias(output.name()));
        LogicalPlanBuilder::from(with_struct).project(kept.iter().cloned().chain(taken))?.build()
    };
    build().map_err(errors::from_datafusion)
}

fn signature() -> Signature {
    // The same for the same row, but a function that is not volatile is copied into every filter that reads its column, and put
    // below others: the model was asked several times about a row, and about rows that the query leaves out, which may be unreadable to it.
    Signature::variadic_any(Volatility::Volatile)
}

fn part(place: usize, field: &Field) -> ScalarUDF {
    ScalarUDF::new_from_impl(Part { place, field: Arc::new(field.clone()), signature: Signature::any(1, Volatility::Immutable) })
}

/// A column of a struct of predictions. `get_field` does the same, but the optimizer takes that function down to the table, and
/// the prediction with it, once for each column.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Part {
    place: usize,
    field: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for Part {
    fn name(&self) -> &str {
        "part"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> QueryResult<DataType> {
        Ok(self.field.data_type().clone())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> QueryResult<FieldRef> {
        Ok(Arc::clone(&self.field))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> QueryResult<ColumnarValue> {
        let [predictions] = args.args.as_slice() else { return exec_err!("part takes the predictions") };
        Ok(ColumnarValue::Array(Arc::clone(predictions.to_array(args.number_rows)?.as_struct().column(self.place))))
    }
}

/// What predicts.
#[derive(Debug, Clone)]
enum Predicting {
    Predictor { model: Arc<PredictorModel>, threshold: Option<f64> },
    Recommender(Arc<RecommenderModel>),
}

impl Predicting {
    fn output_fields(&self, schema: &Schema) -> Result<Vec<Field>> {
        match self {
            Self::Predictor { model, .. } => model.output_fields(schema),
            Self::Recommender(model) => model.output_fields(schema),
        }
    }

    /// The columns that it reads.
    fn input_places(&self, schema: &Schema) -> Result<Vec<usize>> {
        match self {
            Self::Predictor { model, .. } => model.input_places(schema),
            Self::Recommender(model) => model.input_places(schema),
        }
    }

    fn predict(&self, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
        match self {
            Self::Predictor { model, threshold } => model.predict(rows, *threshold),
            Self::Recommender(model) => model.predict_rows(rows),
        }
    }

    /// What tells two of them apart: the version of the model in memory, and the bits of the threshold.
    fn key(&self) -> (*const (), Option<u64>) {
        match self {
            Self::Predictor { model, threshold } => (Arc::as_ptr(model).cast(), threshold.map(f64::to_bits)),
            Self::Recommender(model) => (Arc::as_ptr(model).cast(), None),
        }
    }
}

/// The function of a row's features: a struct of the model's columns.
#[derive(Debug)]
struct Predict {
    model: Predicting,
    /// The arguments, with the names by which the model knows them.
    inputs: SchemaRef,
    outputs: Fields,
    signature: Signature,
}

// Two calls are the same when they ask the same version of the model in the same way about columns of the same names.
impl PartialEq for Predict {
    fn eq(&self, other: &Self) -> bool {
        self.model.key() == other.model.key() && self.inputs == other.inputs
    }
}

impl Eq for Predict {}

impl Hash for Predict {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.model.key().hash(state);
        self.inputs.hash(state);
    }
}

impl ScalarUDFImpl for Predict {
    fn name(&self) -> &str {
        "ml_predict"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> QueryResult<DataType> {
        Ok(DataType::Struct(self.outputs.clone()))
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs) -> QueryResult<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), DataType::Struct(self.outputs.clone()), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> QueryResult<ColumnarValue> {
        let n_rows = args.number_rows;
        let columns = args.args.iter().map(|arg| arg.to_array(n_rows)).collect::<QueryResult<Vec<_>>>()?;
        let named = self.inputs.fields().iter().zip(&columns);
        let fields: Fields = named.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true)).collect();
        // A model may read no column at all, and still has rows.
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let rows = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?;
        let predictions = StructArray::try_new_with_length(self.outputs.clone(), self.model.predict(&rows)?, None, n_rows)?;
        Ok(ColumnarValue::Array(Arc::new(predictions)))
    }
}
