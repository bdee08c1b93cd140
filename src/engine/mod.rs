//! Sessions and the one dispatcher: parse, plan, authorise, limit, execute. Every door comes here.
//!
//! ```text
//! text -> parser -> Statement -> authorise -> Planning -> plan -> CPU threads -> edge types -> door
//!                                               |  pins each table once
//!                                               '- names without regard to case
//! ```

mod changes;
mod cooperative;
mod ddl;
mod ddl_text;
pub mod dispatch;
mod dml;
pub mod edge;
pub mod errors;
mod execute;
mod explain;
pub mod information_schema;
mod maintenance;
mod ml;
pub mod model_runs;
mod model_updates;
mod names;
mod nested_loop_join;
mod new_rows;
mod parameters;
pub mod places;
mod planned;
mod planning;
mod planning_threads;
mod providers;
pub mod queries;
mod repeated_keys;
mod runtime;
mod session;
pub mod settings;
mod show;
mod statement_catalog;
mod statement_state;
mod streams;
pub mod system;
pub mod types;
mod volatile;
mod warehouse;

pub use model_updates::ModelFollower;
pub use planned::{Planned, Waiting};
pub use runtime::EngineLimits;
pub use session::Session;

use crate::auth::{Passwords, password};
use crate::catalog::{Catalog, Change, Table, TableKind, User};
use crate::config::{BucketConfig, Secret};
use crate::error::{Code, Error, Result};
use crate::models::Models;
use crate::parser::Statement;
use crate::storage::{Root, Storage, durable};
use crate::tables::managed::{DeltaTables, ManagedTables};
use crate::tables::streaming::StreamTables;
use crate::tables::streaming::status::StreamBoard;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::SendableRecordBatchStream;
use model_runs::ModelRuns;
use planning_threads::PlanningThreads;
use queries::{QueryRegistry, now_ms};
use statement_state::IdleStates;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Files of a dropped table stay so long for queries that still read them.
const DROP_GRACE: Duration = Duration::from_secs(60);

/// What [`Engine::open`] needs.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Catalog, models and, by default, the warehouse lie here.
    pub data_dir: PathBuf,
    pub warehouse: PathBuf,
    pub roots: Vec<Root>,
    pub buckets: Vec<BucketConfig>,
    pub limits: EngineLimits,
    pub sql_bytes_max: usize,
    pub query_timeout: Option<Duration>,
    pub queries_max: usize,
    pub queries_per_user_max: usize,
    pub history_rows_max: usize,
}

/// The limits that every statement meets.
#[derive(Debug, Clone, Copy)]
pub struct StatementLimits {
    pub sql_bytes_max: usize,
    pub query_timeout: Option<Duration>,
}

/// The server's engine: catalog, storage, tables, models, running queries.
#[derive(Debug)]
pub struct Engine {
    catalog: Arc<Catalog>,
    storage: Arc<Storage>,
    managed: Arc<ManagedTables>,
    streams: StreamTables,
    delta: Arc<DeltaTables>,
    models: Arc<Models>,
    model_runs: ModelRuns,
    queries: Arc<QueryRegistry>,
    planning: PlanningThreads,
    base_state: SessionState,
    idle_states: Arc<IdleStates>,
    limits: StatementLimits,
    passwords: Passwords,
    cpu: CpuThreads,
}

/// The runtime of plans: their work does not delay the network's.
#[derive(Debug)]
struct CpuThreads(Option<tokio::runtime::Runtime>);

impl Drop for CpuThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background(); // A runtime must not be dropped inside another one.
        }
    }
}

/// Through which door a session came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Flight,
    Internal,
}

impl Door {
    /// As `system.queries` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flight => "flight",
            Self::Internal => "internal",
        }
    }
}

/// A statement that was parsed and planned, ready to run many times.
#[derive(Debug)]
pub struct Prepared {
    /// The columns that clients will see (edge types, all nullable); no fields for DDL and DML.
    pub schema: SchemaRef,
    /// One field per parameter `$1..$n`, named `1`, `2`, ..; edge types, nullable.
    pub parameter_schema: SchemaRef,
    /// DDL, DML, SET ..: answers a count, not rows.
    pub is_update: bool,
    statement: Statement,
    sql: String,
    /// Of the catalog when it was planned.
    catalog_version: u64,
}

/// A running statement.
pub struct Execution {
    /// Of `system.queries`; for KILL QUERY.
    pub query_id: String,
    /// Edge types; equal to the schema of every batch.
    pub schema: SchemaRef,
    /// Batches at the edge. Dropping it cancels the query.
    pub stream: SendableRecordBatchStream,
    /// Rows written by DML, 0 for DDL; `None` for queries. Updates are complete when `execute` returns.
    pub rows_affected: Option<i64>,
}

/// How `ingest` treats the target table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestMode {
    pub create_if_missing: bool,
    pub fail_if_missing: bool,
    pub fail_if_exists: bool,
    pub append: bool,
    pub replace: bool,
}

impl Engine {
    /// Opens the catalog, completes what a crash left, and sets the query engine up.
    pub async fn open(options: EngineOptions) -> Result<Arc<Self>> {
        make_directory(&options.data_dir)?;
        let catalog = Catalog::open(&options.data_dir.join("meta.db"))?;
        make_directory(&options.warehouse)?;
        let storage = Storage::open_with_buckets(&options.warehouse, options.roots, &options.buckets)?;
        let models = Models::open(&options.data_dir.join("models"))?;
        let runtime = runtime::runtime_env(&options.limits, &storage)?;
        let base_state = runtime::base_state(&options.limits, runtime)?;
        let cpu = tokio::runtime::Builder::new_multi_thread()
            // More than cores: a plan that does not give way must not keep other queries from starting.
            .worker_threads((options.limits.parallelism * 4).max(8))
            .thread_name("query")
            .thread_stack_size(16 * 1024 * 1024)
            .enable_all()
            .build()
            .map_err(|error| Error::new(Code::LimitExceeded, format!("could not start the query threads: {error}")))?;
        let engine = Arc::new(Self {
            managed: ManagedTables::new(Arc::clone(&storage)),
            streams: StreamTables::default(),
            delta: DeltaTables::new(Arc::clone(&storage)),
            model_runs: ModelRuns::default(),
            queries: Arc::new(QueryRegistry::new(options.history_rows_max, options.queries_max, options.queries_per_user_max)),
            planning: PlanningThreads::new(options.limits.planning_timeout),
            limits: StatementLimits { sql_bytes_max: options.sql_bytes_max, query_timeout: options.query_timeout },
            passwords: Passwords::new(),
            cpu: CpuThreads(Some(cpu)),
            catalog,
            storage,
            models,
            base_state,
            idle_states: Arc::default(),
        });
        engine.recover().await?;
        Ok(engine)
    }

    /// Completes or removes what a crash left half-done.
    async fn recover(&self) -> Result<()> {
        let snapshot = self.catalog.snapshot();
        let warehouse = self.storage.warehouse();
        // Before anything in it is touched.
        let owned = warehouse::claim(warehouse, self.catalog.id())?;
        crate::tables::hive::write::recover(&self.storage).await?;
        let live = snapshot.tables.values().map(|table| table.id.as_str()).collect();
        warehouse::recover(warehouse, self.catalog.id(), owned, snapshot.version, &live)?;
        let versions =
            snapshot.models.values().flat_map(|model| model.versions.iter().map(|version| (model.id.clone(), version.version))).collect();
        let n_swept = self.models.sweep(&versions)?;
        if n_swept > 0 {
            tracing::info!(n_swept, "removed models that no definition names");
        }
        Ok(())
    }

    /// Makes the first user, `admin`, when there is none. Returns the password if it was generated.
    pub async fn first_admin(&self, password: Option<String>) -> Result<Option<String>> {
        if !self.catalog.snapshot().users.is_empty() {
            return Ok(None);
        }
        let generated = password.is_none();
        let password = password.map_or_else(password::generate, Secret::new);
        let verifiers = self.passwords.set(password.clone()).await?;
        let user =
            User { name: "admin".into(), admin: true, argon2: Some(verifiers.argon2), scram: Some(verifiers.scram), created_ms: now_ms() };
        self.catalog.update(move |_| Ok((vec![Change::PutUser(user.clone())], ()))).await?;
        Ok(generated.then(|| password.expose().to_owned()))
    }

    /// Checks a password and opens a session; `Code::Unauthenticated` when it is wrong.
    pub async fn login(self: &Arc<Self>, user: &str, password: &str, door: Door, peer: &str) -> Result<Arc<Session>> {
        let known = self.catalog.snapshot().users.get(user).cloned();
        // A peer is `address:port`, or an address alone; anything else counts as one place.
        let address = peer
            .parse::<SocketAddr>()
            .map(|peer| peer.ip())
            .or_else(|_| peer.parse::<IpAddr>())
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        self.passwords.verify(user, known.as_deref(), address, Secret::new(password)).await?;
        Ok(Session::new(Arc::clone(self), user, door))
    }

    /// A session without a password: loopback in demo and development mode, and the server itself.
    pub fn trusted_session(self: &Arc<Self>, user: &str, door: Door, _peer: &str) -> Result<Arc<Session>> {
        self.user(user)?;
        Ok(Session::new(Arc::clone(self), user, door))
    }

    /// Databases, tables, views, models, users.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The training runs.
    pub fn model_runs(&self) -> &ModelRuns {
        &self.model_runs
    }

    /// What the streaming tables tell about themselves.
    pub fn streams_board(&self) -> &StreamBoard {
        self.streams.board()
    }

    /// What runs and what ran.
    pub fn queries(&self) -> &Arc<QueryRegistry> {
        &self.queries
    }

    /// Stops what runs and ends the tables' committers.
    pub async fn shutdown(&self) {
        self.queries.cancel_all();
        self.managed.shutdown().await;
    }

    pub(crate) fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    fn managed(&self) -> &Arc<ManagedTables> {
        &self.managed
    }

    fn delta(&self) -> &Arc<DeltaTables> {
        &self.delta
    }

    fn models(&self) -> &Arc<Models> {
        &self.models
    }

    fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    fn base_state(&self) -> &SessionState {
        &self.base_state
    }

    fn idle_states(&self) -> &Arc<IdleStates> {
        &self.idle_states
    }

    fn limits(&self) -> StatementLimits {
        self.limits
    }

    fn planning_threads(&self) -> &PlanningThreads {
        &self.planning
    }

    fn cpu(&self) -> tokio::runtime::Handle {
        match &self.cpu.0 {
            Some(runtime) => runtime.handle().clone(),
            None => tokio::runtime::Handle::current(),
        }
    }

    fn user(&self, name: &str) -> Result<Arc<User>> {
        let snapshot = self.catalog.snapshot();
        snapshot.users.get(name).cloned().ok_or_else(|| Error::new(Code::Unauthenticated, format!("user \"{name}\" does not exist")))
    }

    /// Ends a table that left the catalog; its files go, when they are ours, after running queries have had time to end.
    async fn forget_table(self: &Arc<Self>, table: &Table) {
        if table.kind == TableKind::External {
            self.delta.forget(&table.id);
            return;
        }
        if let Err(error) = self.managed.close(&table.id, None).await {
            tracing::warn!(table = %providers::full_name(table), %error, "could not close a dropped table");
        }
        self.streams.close(&table.id);
        self.streams.board().remove(&table.id);
        let place = match table.located {
            true => None,
            false => match places::of(self, table) {
                Ok(place) => Some(place),
                Err(error) => return tracing::warn!(table = %providers::full_name(table), %error, "a dropped table's files stay"),
            },
        };
        let (id, managed) = (table.id.clone(), Arc::clone(&self.managed));
        // Not waited for at shutdown: the next start sweeps what is left.
        drop(crate::telemetry::task::spawn(format!("delete {}", table.location), async move {
            tokio::time::sleep(DROP_GRACE).await;
            // A statement that began before the DROP may have opened it again.
            if let Err(error) = managed.close(&id, place.as_ref()).await {
                tracing::warn!(table = %id, %error, "could not delete a dropped table's files");
            }
        }));
    }
}

fn make_directory(directory: &Path) -> Result<()> {
    durable::create_dir_all(directory).map_err(|error| durable::io_error("create", directory, &error))
}
