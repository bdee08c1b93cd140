//! The query engine's set-up: memory, disk, settings that keep results right, planning threads.

use crate::error::{Code, Error, Result};
use crate::storage::Storage;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionConfig;
use std::cell::RefCell;
use std::future::Future;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Limits of the query engine.
#[derive(Debug, Clone)]
pub struct EngineLimits {
    pub memory_bytes: usize,
    pub spill_directory: PathBuf,
    pub spill_bytes_max: u64,
    pub parallelism: usize,
    pub planning_timeout: Duration,
}

/// Bytes of decoded Parquet metadata that are kept.
const METADATA_CACHE_BYTES: usize = 256 * 1024 * 1024;
/// Stack of a planning thread: long chains of operators recurse deeply (a 2 MiB stack overflows at 2,000 terms).
const PLANNING_STACK_BYTES: usize = 64 * 1024 * 1024;
/// Statements that are planned at once; more wait.
const PLANNING_THREADS_MAX: usize = 8;
/// Statements that wait for something outside beside them: each has a thread. More keep their place while they wait.
const PLANNING_WAITS_MAX: usize = 64;

/// The engine's memory pool, disk manager and stores. The spill directory is wiped: it is ours alone.
pub fn runtime_env(limits: &EngineLimits, storage: &Arc<Storage>) -> Result<Arc<RuntimeEnv>> {
    let directory = &limits.spill_directory;
    let io =
        |error: std::io::Error| Error::new(Code::Io, format!("could not prepare the spill directory \"{}\": {error}", directory.display()));
    if directory.exists() {
        std::fs::remove_dir_all(directory).map_err(io)?;
    }
    std::fs::create_dir_all(directory).map_err(io)?;
    let top = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(FairSpillPool::new(limits.memory_bytes), top)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::Directories(vec![directory.clone()]))
                .with_max_temp_directory_size(limits.spill_bytes_max),
        )
        // The list cache never forgets: new files would stay invisible.
        .with_object_list_cache_limit(0)
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        .with_object_store_registry(storage.registry())
        .build_arc()
        .map_err(super::errors::from_datafusion)
}

/// The settings of every session. `ARCHITECTURE.md` and the tests in `tests/slt/traps` say why.
pub fn session_config(limits: &EngineLimits) -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.default_catalog = super::CATALOG.into();
    options.catalog.default_schema = "public".into();
    options.catalog.information_schema = false; // Ours is in `information_schema`.
    options.sql_parser.enable_ident_normalization = false; // `names` resolves without regard to case.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.support_varchar_with_length = true;
    options.execution.parquet.schema_force_view_types = false;
    options.execution.parquet.pushdown_filters = false; // Wrong rows with ORDER BY and LIMIT.
    options.execution.time_zone = Some("UTC".into());
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false; // Wrong minimum over several files.
    options.optimizer.prefer_hash_join = true;
    options.execution.target_partitions = limits.parallelism;
    SessionConfig::from(options)
}

/// The state from which every statement's state is cloned.
pub fn base_state(limits: &EngineLimits, runtime: Arc<RuntimeEnv>) -> Result<SessionState> {
    let mut state = SessionStateBuilder::new()
        .with_config(session_config(limits))
        .with_runtime_env(runtime)
        .with_default_features()
        .with_type_planner(Arc::new(super::types::WeirTypePlanner))
        .with_physical_optimizer_rule(Arc::new(super::nested_loop_join::SingleNestedLoopJoin))
        .build();
    weir_functions::register_all(&mut state).map_err(super::errors::from_datafusion)?;
    for (name, function) in weir_functions::table_functions() {
        state.register_udtf(name, function);
    }
    Ok(state)
}

/// What allows a thread to plan, and what allows it to wait without.
struct Permit {
    planning: OwnedSemaphorePermit,
    waits: Arc<Semaphore>,
}

thread_local! {
    /// That of this thread.
    static PERMIT: RefCell<Option<Permit>> = const { RefCell::new(None) };
}

/// Waits for something outside of the server, in the middle of planning: others may plan meanwhile.
pub async fn wait_outside<T>(wait: impl Future<Output = T>) -> T {
    let Some(Permit { planning, waits }) = PERMIT.take() else { return wait.await };
    let Ok(waiting) = Arc::clone(&waits).try_acquire_owned() else {
        let answer = wait.await;
        PERMIT.set(Some(Permit { planning, waits }));
        return answer;
    };
    let permits = Arc::clone(planning.semaphore());
    drop(planning);
    let answer = wait.await;
    if let Ok(planning) = permits.acquire_owned().await {
        PERMIT.set(Some(Permit { planning, waits }));
    }
    drop(waiting);
    answer
}

/// Runs planning on threads of its own with a large stack, within a deadline.
#[derive(Debug)]
pub struct PlanningThreads {
    permits: Arc<Semaphore>,
    waits: Arc<Semaphore>,
    timeout: Duration,
}

impl PlanningThreads {
    /// `timeout` is the longest that a statement may be planned.
    pub fn new(timeout: Duration) -> Self {
        Self { permits: Arc::new(Semaphore::new(PLANNING_THREADS_MAX)), waits: Arc::new(Semaphore::new(PLANNING_WAITS_MAX)), timeout }
    }

    /// Runs a future to its end on a planning thread. A panic there becomes an error of this statement.
    ///
    /// A future that does not end in time is left alone on its thread: planning cannot be interrupted.
    pub async fn run<T: Send + 'static>(&self, future: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let planning = tokio::time::timeout(self.timeout, Arc::clone(&self.permits).acquire_owned()).await;
        let planning = planning.map_err(|_| {
            Error::new(
                Code::Timeout,
                format!("the statement was not planned: others kept all threads busy for {} s", self.timeout.as_secs()),
            )
            .hint("Try again; KILL QUERY ends statements that are planned for too long.")
        })?;
        let planning = planning.map_err(|_| Error::new(Code::Unavailable, "the server is shutting down"))?;
        let permit = Permit { planning, waits: Arc::clone(&self.waits) };
        let runtime = tokio::runtime::Handle::current();
        let (answer, answered) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("planning".into())
            .stack_size(PLANNING_STACK_BYTES)
            .spawn(move || {
                PERMIT.set(Some(permit));
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(future)));
                drop(PERMIT.take());
                let _ = answer.send(result.unwrap_or_else(|_| Err(super::errors::panicked())));
            })
            .map_err(|error| Error::new(Code::LimitExceeded, format!("could not start a planning thread: {error}")))?;
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(super::errors::panicked()),
            Err(_) => Err(Error::new(Code::Timeout, format!("the statement could not be planned within {} s", self.timeout.as_secs()))
                .hint("Simplify it: fewer joins, sub-queries or nested views.")),
        }
    }
}
