//! Managed tables: Parquet files + a Delta log, written by one committer per table.

use crate::error::Result;
use crate::storage::Storage;
use crate::tables::WriteMode;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::ExecutionPlan;
use std::path::Path;
use std::sync::Arc;

/// All managed tables that are open, by table id.
#[derive(Debug)]
pub struct ManagedTables {}

impl ManagedTables {
    pub fn new(_storage: Arc<Storage>) -> Arc<Self> {
        todo!()
    }

    /// Writes version 0 of the log in a new directory: protocol and metadata. The table is opened and fenced.
    pub async fn create(
        &self,
        _id: &str,
        _name: &str,
        _directory: &Path,
        _schema: SchemaRef,
        _partition_columns: Vec<String>,
        _properties: Vec<(String, String)>,
    ) -> Result<Arc<ManagedTable>> {
        todo!()
    }

    /// The open table; the first call loads its log and fences older writers (commit.md, protocol 1 and 2).
    pub async fn open(&self, _id: &str, _name: &str, _directory: &Path) -> Result<Arc<ManagedTable>> {
        todo!()
    }

    /// Closes the table; deletes its directory when asked.
    pub async fn close(&self, _id: &str, _delete_files_at: Option<&Path>) -> Result<()> {
        todo!()
    }
}

/// An open managed table.
#[derive(Debug)]
pub struct ManagedTable {}

impl ManagedTable {
    /// The rows of the newest committed version, pinned: a provider whose scans all see the same files.
    pub fn snapshot(&self) -> Arc<dyn TableProvider> {
        todo!()
    }

    /// Like `HiveTable::insert_plan`: columns in table order (partition columns at their place), one commit.
    pub fn insert_plan(self: &Arc<Self>, _input: Arc<dyn ExecutionPlan>, _mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
        todo!()
    }

    /// The newest committed version.
    pub fn version(&self) -> u64 {
        todo!()
    }
}
