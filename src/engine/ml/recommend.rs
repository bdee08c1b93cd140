//! `ML.RECOMMEND(MODEL m [, TABLE t | (query)] [, STRUCT(..)])`: the best items of many users.
//!
//! What the rows of the query are follows from their columns, which are found by the names of the training query:
//!
//! | columns | the answer |
//! | --- | --- |
//! | no query | a list for every user of the model |
//! | user | a list for each of these users |
//! | item | a list for every user, of these items only |
//! | user, item | a list for each of these users, of the items beside it only |
//! | user, item, rating | a list for each of these users from these ratings: new users are folded in |

use super::MlTable;
use crate::engine::errors;
use crate::error::{Code, Error, Result};
use crate::models::{RecommendRequest, RecommendedRows, RecommenderModel, TrainedModel};
use datafusion::arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::Result as QueryResult;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use futures::TryStreamExt;
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The length of a list unless `top_k` says otherwise.
const TOP_K: usize = 10;
const TOP_K_MAX: i64 = 10_000;
/// Batches that wait for a client.
const BATCHES_WAITING: usize = 2;

impl MlTable<'_> {
    /// The best items of the users of a query; without one, of all users.
    pub(super) async fn recommend(&self, model: TrainedModel) -> Result<Arc<dyn TableProvider>> {
        let TrainedModel::Recommender(model) = model else {
            let what = format!("model \"{}\" is not a recommender", self.call.model.0.join("."));
            return Err(Error::new(Code::WrongObject, what).hint("Apply it with ML.PREDICT(MODEL m, TABLE t)."));
        };
        self.check_options(&["top_k", "exclude_seen"])?;
        let k = self.count("top_k", TOP_K_MAX)?.unwrap_or(TOP_K);
        let exclude_seen = self.flag("exclude_seen")?.unwrap_or(true);
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let request = RecommendRequest { k, exclude_seen, allowed: None, threads };
        let input = match self.input().await? {
            None => Input::None,
            Some(plan) => {
                let columns = Columns::of(&model, plan.schema().as_arrow())?;
                Input::Rows(columns, self.physical(&plan).await?)
            }
        };
        let schema = model.recommend_schema();
        let recommend = Recommend { schema: Arc::clone(&schema), model, request, input };
        Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(recommend)]).map_err(errors::from_datafusion)?))
    }
}

/// The places of the columns that the query has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Columns {
    user: Option<usize>,
    item: Option<usize>,
    rating: Option<usize>,
}

impl Columns {
    fn of(model: &RecommenderModel, schema: &Schema) -> Result<Self> {
        let (user, item, rating) = model.input_columns();
        let place = |name: &str| schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        let columns = Self { user: place(user), item: place(item), rating: rating.and_then(place) };
        if columns.user.is_none() && columns.item.is_none() {
            let what = format!("the query of ML.RECOMMEND has neither the column \"{user}\" nor \"{item}\" of model \"{}\"", model.name());
            let known: Vec<String> = schema.fields().iter().map(|field| format!("\"{}\"", field.name())).collect();
            return Err(Error::new(Code::UndefinedColumn, what).detail(format!("Its columns are {}.", known.join(", "))));
        }
        Ok(columns)
    }
}

#[derive(Debug, Clone)]
enum Input {
    None,
    /// The plan is missing while parameters have no values.
    Rows(Columns, Option<Arc<dyn ExecutionPlan>>),
}

/// Recommends when it is executed.
#[derive(Debug)]
struct Recommend {
    schema: SchemaRef,
    model: Arc<RecommenderModel>,
    request: RecommendRequest,
    input: Input,
}

impl PartitionStream for Recommend {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (model, request, input) = (Arc::clone(&self.model), self.request.clone(), self.input.clone());
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), BATCHES_WAITING);
        let sender = builder.tx();
        builder.spawn(async move {
            // Dropped with the stream: the thread that recommends then stops at its next block.
            let cancel = CancellationToken::new();
            let _guard = cancel.clone().drop_guard();
            let (columns, rows) = match input {
                Input::None => (None, Vec::new()),
                Input::Rows(columns, physical) => {
                    let rows = execute_stream(physical.ok_or_else(super::unbound)?, context)?;
                    (Some(columns), rows.try_collect().await?)
                }
            };
            let work = move || -> QueryResult<()> {
                for lists in requests(&model, columns, &rows, request, &cancel)? {
                    for batch in lists? {
                        if sender.blocking_send(batch.map_err(Into::into)).is_err() {
                            return Ok(()); // Nobody reads on.
                        }
                    }
                }
                Ok(())
            };
            tokio::task::spawn_blocking(work).await.map_err(|_| errors::panicked())?
        });
        builder.build()
    }
}

/// What is asked of the model, one after the other.
type Requests<'a> = Box<dyn Iterator<Item = Result<RecommendedRows>> + 'a>;

fn requests<'a>(
    model: &'a Arc<RecommenderModel>,
    columns: Option<Columns>,
    rows: &[RecordBatch],
    request: RecommendRequest,
    cancel: &'a CancellationToken,
) -> Result<Requests<'a>> {
    let one = |rows: Result<RecommendedRows>| -> Requests<'a> { Box::new(std::iter::once(rows)) };
    let Some(columns) = columns else {
        return Ok(one(model.recommend_rows(None, request, cancel)));
    };
    let Some(first) = rows.first() else { return Ok(Box::new(std::iter::empty())) };
    let column = |place: usize| -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = rows.iter().map(|batch| batch.column(place).as_ref()).collect();
        concat(&parts).map_err(errors::from_arrow)
    };
    debug_assert!(rows.iter().all(|batch| batch.schema_ref() == first.schema_ref()));
    match (columns.user, columns.item, columns.rating) {
        (Some(user), Some(item), Some(rating)) => {
            let rated = rows.iter().map(|batch| batch.project(&[user, item, rating])).collect::<Result<Vec<_>, _>>();
            Ok(one(model.fold_in_rows(&rated.map_err(errors::from_arrow)?, request, cancel)))
        }
        (Some(user), None, _) => Ok(one(model.recommend_rows(Some(&column(user)?), request, cancel))),
        (None, Some(item), _) => {
            let request = RecommendRequest { allowed: Some(column(item)?), ..request };
            Ok(one(model.recommend_rows(None, request, cancel)))
        }
        (Some(user), Some(item), None) => {
            let (users, items) = (column(user)?, column(item)?);
            let groups = groups(&users)?;
            Ok(Box::new(groups.into_iter().map(move |places| {
                let places = UInt32Array::from(places);
                let user = take(&users, &places.slice(0, 1), None).map_err(errors::from_arrow)?;
                let allowed = take(&items, &places, None).map_err(errors::from_arrow)?;
                model.recommend_rows(Some(&user), RecommendRequest { allowed: Some(allowed), ..request.clone() }, cancel)
            })))
        }
        (None, None, _) => Err(Error::internal("rows without users and items")),
    }
}

/// The rows of each distinct value, in the order of first occurrence.
fn groups(values: &ArrayRef) -> Result<Vec<Vec<u32>>> {
    let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())]).map_err(errors::from_arrow)?;
    let rows = converter.convert_columns(&[Arc::clone(values)]).map_err(errors::from_arrow)?;
    let mut groups: Vec<Vec<u32>> = Vec::new();
    let mut group_of: HashMap<_, usize> = HashMap::new();
    for (place, row) in (0u32..).zip(rows.iter()) {
        let group = *group_of.entry(row).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(place);
    }
    Ok(groups)
}
