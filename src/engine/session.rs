//! A client's session: who, current database, settings.

use crate::catalog::{Snapshot, User};
use crate::engine::planning::{self, Planning};
use crate::engine::queries::QueryGuard;
use crate::engine::settings::Settings;
use crate::engine::{Door, Engine, Execution, IngestMode, Planned, Prepared, dispatch, dml, edge, errors};
use crate::error::{Code, Error, Result};
use crate::telemetry::metrics::{self, GaugeGuard};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::SendableRecordBatchStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// One client's session.
#[derive(Debug)]
pub struct Session {
    id: String,
    user: String,
    door: Door,
    engine: Arc<Engine>,
    state: Mutex<SessionValues>,
    _open: GaugeGuard<'static>,
}

#[derive(Debug)]
struct SessionValues {
    database: String,
    settings: Settings,
}

impl Session {
    pub(super) fn new(engine: Arc<Engine>, user: &str, door: Door) -> Arc<Self> {
        let values = SessionValues { database: "public".into(), settings: Settings::default() };
        Arc::new(Self {
            id: uuid::Uuid::new_v4().to_string(),
            user: user.to_owned(),
            door,
            engine,
            state: Mutex::new(values),
            _open: metrics::SESSIONS_OPEN.enter(),
        })
    }

    /// A random id, shown in `system.queries`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Through which door the session came.
    pub fn door(&self) -> Door {
        self.door
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The catalog as the session may see it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.engine.catalog().snapshot()
    }

    /// The database in which names without one are looked up.
    pub fn current_database(&self) -> String {
        self.values().database.clone()
    }

    /// Changes the current database, which must exist.
    pub fn set_current_database(&self, name: &str) -> Result<()> {
        let database = planning::database_name(name);
        let snapshot = self.snapshot();
        if !snapshot.databases.contains_key(&database) && !planning::is_virtual(&database) {
            return Err(planning::undefined_database(&snapshot, name));
        }
        self.values().database = database;
        Ok(())
    }

    /// Parses and plans; nothing runs.
    pub async fn prepare(&self, sql: &str) -> Result<Arc<Prepared>> {
        Ok(self.prepare_to_run(sql).await?.0)
    }

    /// As [`Self::prepare`], with the plan for [`Self::execute_planned`] right after it.
    pub async fn prepare_to_run(&self, sql: &str) -> Result<(Arc<Prepared>, Option<Planned>)> {
        let (prepared, planned) = dispatch::prepare(self, sql).await?;
        Ok((Arc::new(prepared), planned))
    }

    /// The schema of the result with these parameters bound: what `execute` will stream; and the plan for
    /// [`Self::execute_planned`] right after it.
    pub async fn result_schema(&self, prepared: &Prepared, parameters: Option<&RecordBatch>) -> Result<(SchemaRef, Option<Planned>)> {
        dispatch::result_schema_with(self, prepared, parameters).await
    }

    /// Runs; `parameters` is one row, columns by position. Updates are complete when this returns.
    pub async fn execute(&self, prepared: &Prepared, parameters: Option<&RecordBatch>) -> Result<Execution> {
        self.execute_planned(prepared, parameters, None).await
    }

    /// As [`Self::execute`]; `planned` was made a moment ago for the same statement and parameters. When it is not current
    /// any more, the statement is planned again.
    pub async fn execute_planned(
        &self,
        prepared: &Prepared,
        parameters: Option<&RecordBatch>,
        planned: Option<Planned>,
    ) -> Result<Execution> {
        dispatch::execute(self, prepared, parameters, planned).await
    }

    /// `prepare` and `execute` in one.
    pub async fn run(&self, sql: &str) -> Result<Execution> {
        let (prepared, planned) = self.prepare_to_run(sql).await?;
        self.execute_planned(&prepared, None, planned).await
    }

    /// Runs a statement and collects its rows: for small answers inside the server.
    pub async fn rows(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        use futures::TryStreamExt;
        let execution = self.run(sql).await?;
        execution.stream.try_collect().await.map_err(errors::from_datafusion)
    }

    /// Writes a stream of batches into a table in one commit; returns the rows written.
    pub async fn ingest(
        &self,
        table: &str,
        database: Option<&str>,
        mode: IngestMode,
        temporary: bool,
        batches: SendableRecordBatchStream,
    ) -> Result<i64> {
        if temporary {
            return Err(Error::new(Code::NotSupported, "temporary tables are not supported yet")
                .hint("Ingest into a table and drop it afterwards."));
        }
        let user = self.current_user()?;
        crate::auth::check(&user, crate::auth::Action::Insert, "tables")?;
        let name: Vec<String> = database.into_iter().chain([table]).map(str::to_owned).collect();
        let shown = format!("INGEST INTO {}", name.join("."));
        let guard = self.engine.queries().start(&self.user, self.door, &self.id, &shown)?;
        let call = dispatch::Call { session: self, guard };
        let result = dml::ingest(&call, &name, mode, batches).await;
        end(&call.guard, &result);
        result
    }

    /// The columns of a table or view as clients see them, hidden columns left out.
    pub async fn table_schema(&self, database: &str, name: &str) -> Result<SchemaRef> {
        let planning = self.planning();
        let parts = vec![database.to_owned(), name.to_owned()];
        let provider = self.engine.planning_threads().run(async move { planning.provider(&parts).await }).await?;
        match provider {
            Some(provider) => Ok(edge::edge_schema(&provider.schema())),
            None => Err(Error::new(Code::UndefinedTable, format!("table \"{database}.{name}\" does not exist"))),
        }
    }

    /// Cancels a running query; those of others only for administrators. False when it is not running.
    pub fn cancel(&self, query_id: &str) -> Result<bool> {
        let Some(query) = self.engine.queries().find(query_id) else { return Ok(false) };
        if query.user != self.user && !self.current_user()?.admin {
            return Err(Error::new(Code::Forbidden, format!("query \"{query_id}\" belongs to another user")));
        }
        query.cancel();
        Ok(true)
    }

    /// Database and name of every table that the server itself supplies.
    pub fn system_tables(&self) -> Vec<(String, String)> {
        let ours = super::system::TABLES.iter().map(|table| ("system".to_owned(), table.name.to_owned()));
        let schema = super::information_schema::InformationSchema::new(self.snapshot());
        let standard =
            datafusion::catalog::SchemaProvider::table_names(&schema).into_iter().map(|name| ("information_schema".to_owned(), name));
        ours.chain(standard).collect()
    }

    /// Ends the session: its queries are cancelled.
    pub fn close(&self) {
        for row in self.engine.queries().running() {
            if row.session == self.id
                && let Some(query) = self.engine.queries().find(&row.id)
            {
                query.cancel();
            }
        }
    }

    /// The user as the catalog has it now: one that was dropped may do nothing more.
    pub(super) fn current_user(&self) -> Result<Arc<User>> {
        self.engine.user(&self.user)
    }

    pub(super) fn planning(&self) -> Planning {
        let (database, settings) = {
            let values = self.values();
            (values.database.clone(), values.settings.clone())
        };
        Planning::new(&self.engine, &self.user, &database, &settings)
    }

    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        let own = self.values().settings.statement_timeout();
        match (own, self.engine.limits().query_timeout) {
            (Some(own), Some(server)) => Some(own.min(server)),
            (own, server) => own.or(server),
        }
    }

    pub(super) fn change_settings(&self, change: impl FnOnce(&mut Settings) -> Result<()>) -> Result<()> {
        change(&mut self.values().settings)
    }

    pub(super) fn settings(&self) -> Settings {
        self.values().settings.clone()
    }

    fn values(&self) -> MutexGuard<'_, SessionValues> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Writes the end of a statement into its registry entry.
fn end<T>(guard: &QueryGuard, result: &Result<T>) {
    match result {
        Ok(_) => guard.finished(),
        Err(error) => guard.failed(error),
    }
}
