//! `dead_letters('t')`: the records of a stream that could not be decoded, at the same moment as the table's rows.

use super::dead_letters::{self, DeadLetterFile};
use super::hot::HotBatch;
use super::hot_source::{self, Part};
use super::{StreamSnapshot, StreamTable};
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use object_store::path::Path;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct DeadLetterTable {
    table: Arc<StreamTable>,
    hot: Vec<Arc<HotBatch>>,
    files: Arc<Vec<DeadLetterFile>>,
}

impl DeadLetterTable {
    /// The dead letters of the same moment as the snapshot.
    pub fn of(snapshot: &StreamSnapshot) -> Self {
        let table = snapshot.table();
        let files = table.dead_letters().of(table.managed(), snapshot.pin());
        Self { table: Arc::clone(table), hot: snapshot.hot().to_vec(), files }
    }
}

#[async_trait]
impl TableProvider for DeadLetterTable {
    fn schema(&self) -> SchemaRef {
        dead_letters::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = self.schema();
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..schema.fields().len()).collect());
        let hot = hot_source::scan(self.hot.clone(), Part::DeadLetters, &schema, columns.clone(), 1)?;
        if self.files.is_empty() {
            return Ok(hot);
        }
        let managed = self.table.managed();
        let files = self.files.iter().map(|file| PartitionedFile::new(managed.absolute(&Path::from(file.path.as_str())), file.n_bytes));
        let groups = FileGroup::new(files.collect()).split_files(state.config().target_partitions());
        let format = ParquetFormat::new().with_options(state.table_options().parquet.clone());
        let scanned = TableSchema::builder(schema).build();
        let config = FileScanConfigBuilder::new(managed.store_url().clone(), format.file_source(scanned))
            .with_file_groups(groups)
            .with_projection_indices(Some(columns))?
            .build();
        UnionExec::try_new(vec![format.create_physical_plan(state, config).await?, hot])
    }
}
