//! Runs a plan on the CPU threads: rows come back through a short queue, with cancel and timeout.

use crate::engine::planned::Planned;
use crate::engine::planning::Planning;
use crate::engine::queries::{Query, QueryGuard};
use crate::engine::{Engine, cooperative, edge, errors};
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, RecordBatchStream, SendableRecordBatchStream, execute_stream};
use futures::{Stream, StreamExt};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Batches that wait between the plan and the client. The client's pace is the plan's pace.
const BATCHES_QUEUED_MAX: usize = 2;

/// A plan that is ready to run, and the logical plan to fall back on.
#[derive(Debug)]
pub struct Runnable {
    pub planning: Planning,
    /// Kept when memory may run out in a hash join: it is planned again with sort-merge joins.
    pub logical: Option<LogicalPlan>,
    pub physical: Arc<dyn ExecutionPlan>,
}

impl Runnable {
    /// Optimises and plans physically. Call it on a planning thread.
    pub async fn new(planning: Planning, logical: LogicalPlan) -> Result<Self> {
        let optimised = planning.state().optimize(&logical).map_err(errors::from_datafusion)?;
        Self::optimised(planning, logical, optimised).await
    }

    /// The same for a plan that has been analysed.
    pub async fn of(planned: Planned) -> Result<Self> {
        let Planned { planning, plan: logical, .. } = planned;
        let state = planning.state();
        let optimised = state.optimizer().optimize(logical.clone(), state, |_, _| {}).map_err(errors::from_datafusion)?;
        Self::optimised(planning, logical, optimised).await
    }

    async fn optimised(planning: Planning, logical: LogicalPlan, optimised: LogicalPlan) -> Result<Self> {
        let state = planning.state();
        weir_functions::check_constants(&optimised).map_err(errors::from_datafusion)?;
        let physical = state.query_planner().create_physical_plan(&optimised, state).await.map_err(errors::from_datafusion)?;
        let logical = contains_hash_join(&physical).then_some(logical);
        Ok(Self { planning, logical, physical })
    }
}

impl Runnable {
    /// The physical plan, ready to be cancelled while it runs.
    pub fn yielding(&self, query: &Query) -> Result<Arc<dyn ExecutionPlan>> {
        cooperative::prepare(Arc::clone(&self.physical), query.cancel_token()).map_err(errors::from_datafusion)
    }
}

fn contains_hash_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<HashJoinExec>() || plan.children().into_iter().any(contains_hash_join)
}

/// Runs the plan; the stream's batches have the edge types of `schema`. Dropping it cancels the query.
pub fn stream(
    engine: &Arc<Engine>,
    runnable: Runnable,
    schema: SchemaRef,
    guard: QueryGuard,
    timeout: Option<Duration>,
) -> SendableRecordBatchStream {
    let (sender, receiver) = mpsc::channel(BATCHES_QUEUED_MAX);
    let query = Arc::clone(guard.query());
    query.running();
    let deadline = timeout.map(|timeout| (tokio::time::Instant::now() + timeout, timeout));
    let edge_schema = Arc::clone(&schema);
    let task = engine.cpu().spawn(async move {
        let cancelled = query.cancel_token().clone();
        let work = drive(runnable, edge_schema, Arc::clone(&query), &sender);
        let end = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(Error::new(Code::Cancelled, "the query was cancelled")),
            error = passed(deadline) => Err(error),
            end = work => end,
        };
        match end {
            Ok(()) => query.finished(),
            Err(error) => {
                query.failed(&error);
                let _ = sender.send(Err(error.into())).await;
            }
        }
    });
    let cancelled = Box::pin(guard.cancel_token().clone().cancelled_owned());
    Box::pin(Running { schema, receiver, task: Some(task), guard, cancelled, said_cancelled: false })
}

/// Runs a plan to its end and returns its batches: for plans that answer little.
pub async fn collect(engine: &Arc<Engine>, runnable: Runnable, guard: &QueryGuard, timeout: Option<Duration>) -> Result<Vec<RecordBatch>> {
    let query = Arc::clone(guard.query());
    run_to_end(engine, guard, timeout, async move {
        let context = task_context(&runnable, &query);
        let plan = runnable.yielding(&query)?;
        let mut stream = execute_stream(plan, context).map_err(errors::from_datafusion)?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(errors::from_datafusion)?);
        }
        query.plan_metrics(metrics_json(&runnable.physical));
        Ok(batches)
    })
    .await
}

/// Runs a statement's work on the query threads: with its cancel and its timeout, and a panic is its error only.
/// Dropping the call stops the work.
pub async fn run_to_end<T: Send + 'static>(
    engine: &Arc<Engine>,
    guard: &QueryGuard,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let query = Arc::clone(guard.query());
    query.running();
    let deadline = timeout.map(|timeout| (tokio::time::Instant::now() + timeout, timeout));
    let mut task = AbortOnDrop(engine.cpu().spawn(async move {
        tokio::select! {
            biased;
            () = query.cancel_token().cancelled() => Err(Error::new(Code::Cancelled, "the query was cancelled")),
            error = passed(deadline) => Err(error),
            end = work => end,
        }
    }));
    match (&mut task.0).await {
        Ok(result) => result,
        Err(join) if join.is_cancelled() => Err(Error::new(Code::Cancelled, "the query was cancelled")),
        Err(_) => Err(errors::panicked()),
    }
}

/// A task that ends with who waits for it.
pub struct AbortOnDrop<T>(pub JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn passed(deadline: Option<(tokio::time::Instant, Duration)>) -> Error {
    match deadline {
        None => std::future::pending().await,
        Some((instant, timeout)) => {
            tokio::time::sleep_until(instant).await;
            Error::new(Code::Timeout, format!("the statement ran longer than its limit of {} s", timeout.as_secs_f64()))
                .hint("SET statement_timeout changes the limit of a session.")
        }
    }
}

/// Moves batches from the plan into the queue. Before the first batch, a hash join that ran out of
/// memory is replaced by a sort-merge join, which spills.
async fn drive(
    mut runnable: Runnable,
    schema: SchemaRef,
    query: Arc<Query>,
    sender: &mpsc::Sender<datafusion::error::Result<RecordBatch>>,
) -> Result<()> {
    loop {
        let context = task_context(&runnable, &query);
        let plan = runnable.yielding(&query)?;
        let mut stream =
            edge::edge_stream(execute_stream(Arc::clone(&plan), context).map_err(errors::from_datafusion)?, Arc::clone(&schema));
        let mut first = true;
        let again = loop {
            match stream.next().await {
                None => break None,
                Some(Ok(batch)) => {
                    first = false;
                    query.count(batch.num_rows(), batch.get_array_memory_size());
                    if sender.send(Ok(batch)).await.is_err() {
                        return Err(Error::new(Code::Cancelled, "the client left")); // The receiver is gone: nobody reads.
                    }
                }
                Some(Err(error)) => match runnable.logical.take() {
                    Some(logical) if first && is_out_of_memory(&error) => break Some(logical),
                    _ => return Err(errors::from_datafusion(error)),
                },
            }
        };
        query.plan_metrics(metrics_json(&plan));
        let Some(logical) = again else { return Ok(()) };
        tracing::debug!(query = %query.id, "out of memory in a hash join, planned again with sort-merge joins");
        runnable.planning.state_mut().config_mut().options_mut().optimizer.prefer_hash_join = false;
        runnable.physical = runnable.planning.state().create_physical_plan(&logical).await.map_err(errors::from_datafusion)?;
    }
}

fn is_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}

/// The context of one run: the statement's settings, the server's disk, a memory pool that counts for the query.
pub fn task_context(runnable: &Runnable, query: &Query) -> Arc<TaskContext> {
    let state = runnable.planning.state();
    Arc::new(context_with_pool(state, query.memory_pool(Arc::clone(&state.runtime_env().memory_pool))))
}

/// The context of work that no statement waits for.
pub fn background_context(runnable: &Runnable) -> Arc<TaskContext> {
    let state = runnable.planning.state();
    Arc::new(context_with_pool(state, Arc::clone(&state.runtime_env().memory_pool)))
}

fn context_with_pool(state: &SessionState, memory_pool: Arc<dyn MemoryPool>) -> TaskContext {
    let shared = state.runtime_env();
    let runtime = RuntimeEnv {
        memory_pool,
        disk_manager: Arc::clone(&shared.disk_manager),
        cache_manager: Arc::clone(&shared.cache_manager),
        object_store_registry: Arc::clone(&shared.object_store_registry),
    };
    // Without the functions: they are in the plan, and all of them would be copied for each statement.
    let (scalar, higher_order, aggregate, window) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
    let (session_id, config) = (state.session_id().to_owned(), state.config().clone());
    TaskContext::new(None, session_id, config, scalar, higher_order, aggregate, window, Arc::new(runtime))
}

/// Rows, time, spills and bytes of each operator, as JSON text.
fn metrics_json(plan: &Arc<dyn ExecutionPlan>) -> String {
    fn node(plan: &Arc<dyn ExecutionPlan>, depth: usize, rows: &mut Vec<serde_json::Value>) {
        let mut entry = serde_json::Map::new();
        entry.insert("operator".into(), plan.name().into());
        entry.insert("depth".into(), depth.into());
        if let Some(metrics) = plan.metrics() {
            for metric in metrics.aggregate_by_name().iter() {
                let value = metric.value();
                entry.insert(value.name().to_owned(), value.as_usize().into());
            }
        }
        rows.push(entry.into());
        for child in plan.children() {
            node(child, depth + 1, rows);
        }
    }
    let mut rows = Vec::new();
    node(plan, 0, &mut rows);
    serde_json::Value::from(rows).to_string()
}

/// The client's end of a running query.
struct Running {
    schema: SchemaRef,
    receiver: mpsc::Receiver<datafusion::error::Result<RecordBatch>>,
    task: Option<JoinHandle<()>>,
    guard: QueryGuard,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    said_cancelled: bool,
}

impl Stream for Running {
    type Item = datafusion::error::Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.receiver.poll_recv(context) {
            // Its client need not wait until a busy plan sees that it was cancelled.
            Poll::Pending if self.cancelled.as_mut().poll(context).is_ready() && !self.said_cancelled => {
                self.said_cancelled = true;
                let error = Error::new(Code::Cancelled, "the query was cancelled");
                self.guard.failed(&error);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending if self.said_cancelled => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(item)) => Poll::Ready(Some(item)),
            Poll::Ready(None) => {
                // The queue is closed: the task ended, or it panicked.
                let Some(task) = self.task.as_mut() else { return Poll::Ready(None) };
                match Pin::new(task).poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(end) => {
                        self.task = None;
                        match end {
                            Err(join) if join.is_panic() => {
                                let error = errors::panicked();
                                self.guard.failed(&error);
                                Poll::Ready(Some(Err(error.into())))
                            }
                            _ => Poll::Ready(None),
                        }
                    }
                }
            }
        }
    }
}

impl RecordBatchStream for Running {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
