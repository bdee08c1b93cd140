//! Sessions and the one dispatcher: parse, plan, authorise, limit, execute. Every door comes here.

pub mod edge;
pub mod types;

use crate::error::Result;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::physical_plan::SendableRecordBatchStream;
use std::sync::Arc;

/// The server's engine: catalog, storage, tables, models, running queries.
#[derive(Debug)]
pub struct Engine {}

/// Through which door a session came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    Flight,
    Internal,
}

impl Engine {
    /// Checks a password and opens a session; `Code::Unauthenticated` when it is wrong.
    pub async fn login(self: &Arc<Self>, _user: &str, _password: &str, _door: Door, _peer: &str) -> Result<Arc<Session>> {
        todo!()
    }
    /// A session without a password: loopback in demo and development mode.
    pub fn trusted_session(self: &Arc<Self>, _user: &str, _door: Door, _peer: &str) -> Result<Arc<Session>> {
        todo!()
    }
    pub fn catalog(&self) -> &Arc<crate::catalog::Catalog> {
        todo!()
    }
}

/// One client's session: current database, settings.
#[derive(Debug)]
pub struct Session {}

/// A statement that was parsed and planned, ready to run many times.
#[derive(Debug)]
pub struct Prepared {
    /// The columns that clients will see (edge types, all nullable); no fields for DDL and DML.
    pub schema: SchemaRef,
    /// One field per parameter `$1..$n`, named `1`, `2`, ..; edge types, nullable.
    pub parameter_schema: SchemaRef,
    /// DDL, DML, SET ..: answers a count, not rows.
    pub is_update: bool,
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

impl Session {
    pub fn id(&self) -> &str {
        todo!()
    }
    pub fn user(&self) -> &str {
        todo!()
    }
    pub fn engine(&self) -> &Arc<Engine> {
        todo!()
    }
    pub fn current_database(&self) -> String {
        todo!()
    }
    pub fn set_current_database(&self, _name: &str) -> Result<()> {
        todo!()
    }
    /// Parses and plans; nothing runs.
    pub async fn prepare(&self, _sql: &str) -> Result<Arc<Prepared>> {
        todo!()
    }
    /// The schema of the result with these parameters bound: what `execute` will stream.
    pub async fn result_schema(&self, _prepared: &Prepared, _parameters: Option<&RecordBatch>) -> Result<SchemaRef> {
        todo!()
    }
    /// Runs; `parameters` is one row, columns by position.
    pub async fn execute(&self, _prepared: &Prepared, _parameters: Option<&RecordBatch>) -> Result<Execution> {
        todo!()
    }
    /// `prepare` and `execute` in one.
    pub async fn run(&self, _sql: &str) -> Result<Execution> {
        todo!()
    }
    /// Writes a stream of batches into a table in one commit; returns the rows written.
    pub async fn ingest(
        &self,
        _table: &str,
        _database: Option<&str>,
        _mode: IngestMode,
        _temporary: bool,
        _batches: SendableRecordBatchStream,
    ) -> Result<i64> {
        todo!()
    }
    /// The columns of a table, view or system table as a query would return them (edge types), for listings.
    pub async fn table_schema(&self, _database: &str, _name: &str) -> Result<SchemaRef> {
        todo!()
    }
    /// The definitions that this session may see.
    pub fn snapshot(&self) -> Arc<crate::catalog::Snapshot> {
        todo!()
    }
    /// Database and name of every table that the server itself supplies (`system.queries`, `information_schema.columns`).
    pub fn system_tables(&self) -> Vec<(String, String)> {
        todo!()
    }
    /// Drops temporary tables and cancels what still runs; later calls are refused. May be called twice.
    pub fn close(&self) {
        todo!()
    }
    /// Cancels a running query; other users' queries only for administrators. False when it is not running.
    pub fn cancel(&self, _query_id: &str) -> Result<bool> {
        todo!()
    }
}
