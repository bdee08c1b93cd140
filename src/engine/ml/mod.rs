//! The `ML.` table functions: what a model knows of itself, or a model applied to the rows of a query.
//!
//! Each call becomes a table of its statement. Rows are read when the statement runs, not before.

mod columns;
mod common;
mod evaluate;
mod predict;
mod recommend;

use crate::catalog::Model;
use crate::engine::planning::Planning;
use crate::engine::{ddl, dml, errors, new_rows};
use crate::error::{Code, Error, Result};
use crate::models::{Loaded, ModelTable, RecommenderModel, ScoreTable, TrainedModel};
use crate::parser::{MlCall, OptionValue, SqlOption};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

pub use columns::add_functions;
pub use common::{outer_name, with_common_tables, with_readable_names};

/// The functions, for messages.
const FUNCTIONS: &[&str] = &[
    "EVALUATE",
    "PREDICT",
    "RECOMMEND",
    "TRAINING_INFO",
    "TRIAL_INFO",
    "FEATURE_INFO",
    "FEATURE_IMPORTANCE",
    "WEIGHTS",
    "CONFUSION_MATRIX",
    "ROC_CURVE",
    "CENTROIDS",
    "PRINCIPAL_COMPONENTS",
];

/// Functions that other systems have.
const ELSEWHERE: &[&str] =
    &["EXPLAIN_PREDICT", "GLOBAL_EXPLAIN", "FORECAST", "ARIMA_EVALUATE", "GENERATE_TEXT", "TRANSLATE", "DETECT_ANOMALIES"];

/// One call in a statement that is being planned.
#[derive(Clone, Copy)]
struct MlTable<'a> {
    planning: &'a Planning,
    call: &'a MlCall,
    /// The values of the statement's parameters; `None` while only the columns are wanted.
    values: Option<&'a [ScalarValue]>,
}

/// The table that an `ML.` function stands for.
pub async fn table(planning: &Planning, call: &MlCall, values: Option<&[ScalarValue]>) -> Result<Arc<dyn TableProvider>> {
    let table = MlTable { planning, call, values };
    let function = call.function.to_uppercase();
    if !FUNCTIONS.contains(&function.as_str()) {
        return Err(undefined(&function));
    }
    let model = table.model()?;
    let loaded = planning.engine().models().load(&model, model.default_version)?;
    let info = match function.as_str() {
        "EVALUATE" => return table.scores(loaded.model, ScoreTable::Evaluate).await,
        "CONFUSION_MATRIX" => return table.scores(loaded.model, ScoreTable::ConfusionMatrix).await,
        "ROC_CURVE" => return table.scores(loaded.model, ScoreTable::RocCurve).await,
        "PREDICT" => return table.predict(loaded.model).await,
        "RECOMMEND" => return table.recommend(loaded.model).await,
        "TRAINING_INFO" => table.info(|| loaded.report.training_info())?,
        "TRIAL_INFO" => table.info(|| loaded.report.trial_info())?,
        "FEATURE_INFO" => table.of_predictor(&loaded, ModelTable::FeatureInfo)?,
        "FEATURE_IMPORTANCE" => table.of_predictor(&loaded, ModelTable::FeatureImportance)?,
        "WEIGHTS" => table.of_predictor(&loaded, ModelTable::Weights)?,
        "CENTROIDS" => table.of_predictor(&loaded, ModelTable::Centroids)?,
        _ => table.of_predictor(&loaded, ModelTable::PrincipalComponents)?,
    };
    rows(info)
}

fn undefined(function: &str) -> Error {
    if ELSEWHERE.contains(&function) {
        return Error::new(Code::NotSupported, format!("ML.{function} is not supported"));
    }
    let name = format!("ML.{function}");
    let known: Vec<String> = FUNCTIONS.iter().map(|known| format!("ML.{known}")).collect();
    let what = format!("function \"{name}\" does not exist");
    Error::unknown(Code::UndefinedFunction, what, &name, known.iter().map(String::as_str))
}

impl MlTable<'_> {
    /// The name of the function, for messages.
    fn name(&self) -> String {
        format!("ML.{}", self.call.function.to_uppercase())
    }

    fn model(&self) -> Result<Arc<Model>> {
        let snapshot = self.planning.snapshot();
        let key = self.planning.key(&self.call.model.0)?;
        snapshot.models.get(&key).cloned().ok_or_else(|| ddl::model::undefined(snapshot, &key))
    }

    /// A table that takes neither rows nor options.
    fn info(&self, table: impl FnOnce() -> Result<RecordBatch>) -> Result<RecordBatch> {
        self.check_options(&[])?;
        if self.call.input.is_some() {
            return Err(Error::new(Code::InvalidStatement, format!("{} takes a model and no rows", self.name())));
        }
        table()
    }

    fn of_predictor(&self, loaded: &Loaded, table: ModelTable) -> Result<RecordBatch> {
        self.info(|| match &loaded.model {
            TrainedModel::Predictor(model) => model.table(table),
            TrainedModel::Recommender(model) => Err(self.not_of_recommender(model)),
        })
    }

    fn not_of_recommender(&self, model: &RecommenderModel) -> Error {
        let what = format!("model \"{}\" is a recommender and has no {}", model.name(), self.name());
        Error::new(Code::WrongObject, what).hint("EXPORT MODEL writes its factors as Parquet files.")
    }

    /// Refuses options that the function does not have.
    fn check_options(&self, known: &[&str]) -> Result<()> {
        match self.call.options.iter().find(|option| !known.contains(&option.key.as_str())) {
            None => Ok(()),
            Some(option) => {
                let what = format!("{} has no option \"{}\"", self.name(), option.key);
                Err(Error::unknown(Code::InvalidParameter, what, &option.key, known.iter().copied()))
            }
        }
    }

    fn option(&self, name: &str) -> Option<&SqlOption> {
        self.call.options.iter().find(|option| option.key == name)
    }

    /// An option that is TRUE or FALSE.
    fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.option(name).map(|option| &option.value) {
            None => Ok(None),
            Some(OptionValue::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(Error::new(Code::InvalidParameter, format!("option \"{name}\" of {} must be TRUE or FALSE", self.name()))),
        }
    }

    /// An option that is a number from 1.
    fn count(&self, name: &str, max: i64) -> Result<Option<usize>> {
        let Some(option) = self.option(name) else { return Ok(None) };
        let number = match &option.value {
            OptionValue::Number(digits) => digits.parse::<i64>().ok().filter(|number| (1..=max).contains(number)),
            _ => None,
        };
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(Some(number)),
            None => {
                let what = format!("option \"{name}\" of {} must be an integer from 1 to {max}", self.name());
                Err(Error::new(Code::InvalidParameter, what))
            }
        }
    }

    /// The plan of the rows; `None` when the call has none.
    async fn input(&self) -> Result<Option<LogicalPlan>> {
        let Some(input) = &self.call.input else { return Ok(None) };
        let plan = Box::pin(self.planning.query(input, self.values)).await?;
        if new_rows::reads_streams(&plan) {
            self.planning.hide_stream();
        }
        match self.values {
            Some(values) => dml::bind(plan, values).map(Some),
            None => Ok(Some(plan)),
        }
    }

    /// The physical plan of the rows; `None` while parameters have no values: then only the columns are wanted.
    async fn physical(&self, plan: &LogicalPlan) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.values {
            None if self.call.input.as_ref().is_some_and(|input| input.n_parameters > 0) => Ok(None),
            _ => self.planning.state().create_physical_plan(plan).await.map(Some).map_err(errors::from_datafusion),
        }
    }
}

/// A batch as a table.
fn rows(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).map_err(errors::from_datafusion)?))
}

/// The error of a plan that runs although a parameter has no value.
fn unbound() -> Error {
    Error::new(Code::InvalidParameter, "the parameters of the statement are not bound")
}
