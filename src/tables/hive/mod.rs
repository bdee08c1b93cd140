//! Hive tables: directories of Parquet, CSV, TEXTFILE or JSON files, partitions found at query time.
//!
//! ```text
//! listing (which files, which partitions)  ->  pruning  ->  scan: Parquet (DataFusion's reader, our name matching)
//!                                                           or lines (our decoders of text and JSON)
//! ```

mod chunk;
mod column;
mod directory;
mod format;
mod infer;
mod json;
mod line_source;
mod listing;
mod numbers;
mod parquet;
mod scan;
#[cfg(test)]
mod tests;
mod text;
mod value;

pub(crate) use column::{ColumnBuilder, RowMisfit, TimestampText, sql_type};
pub(crate) use directory::partition_text;
pub(crate) use infer::JsonSample;
pub(crate) use json::JsonRows;
pub(crate) use numbers::Numbers;
pub(crate) use text::TextRows;

pub use format::{Compression, FORMATS, Format, JsonOptions, JsonTimestamp, PROPERTY_KEYS, ParquetOptions, TextOptions};

pub mod write;

use crate::error::Result;
use crate::storage::{Location, Storage};
use crate::tables::WriteMode;
use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::compute::and;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr_adapter::PhysicalExprAdapterFactory;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use line_source::LineSource;
use listing::{DataFile, Listing};
use object_store::ObjectStore;
use scan::{FileText, Selection};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The hidden column with the file of each row.
pub const FILE_COLUMN: &str = "_file";

/// What a Hive table is, ready to scan.
#[derive(Debug, Clone)]
pub struct HiveTableDef {
    /// `database.table`, for messages; an ad-hoc file: its text.
    pub name: String,
    pub location: Location,
    /// Data columns as declared or inferred, without partition columns and `_file`.
    pub schema: SchemaRef,
    pub partition_columns: Vec<FieldRef>,
    pub format: Format,
    /// `dt=2026-01-01` -> its own location.
    pub partition_locations: BTreeMap<String, Location>,
}

/// A table over a directory.
#[derive(Debug, Clone)]
pub struct HiveTable {
    pub(crate) def: HiveTableDef,
    pub(crate) storage: Arc<Storage>,
    /// Columns of the files, columns of the directories, and both together.
    table_schema: TableSchema,
    /// Whether `_file` is the last column.
    with_file: bool,
}

impl HiveTable {
    /// The table; nothing is read.
    pub fn new(def: HiveTableDef, storage: Arc<Storage>) -> Self {
        let table_schema = table_schema(&def, false);
        Self { def, storage, table_schema, with_file: false }
    }

    /// The same table with the hidden column `_file` at the end: for a query that names it.
    pub fn with_file_column(&self) -> Self {
        Self { table_schema: table_schema(&self.def, true), with_file: true, ..self.clone() }
    }

    /// Reads the columns and the partition columns out of the files. `CREATE EXTERNAL TABLE` without columns, ad-hoc files.
    pub async fn infer(
        _state: &dyn Session,
        storage: &Arc<Storage>,
        name: &str,
        location: &Location,
        format: &Format,
    ) -> Result<(SchemaRef, Vec<FieldRef>)> {
        infer::infer(storage, name, location, format).await
    }

    /// The partitions that exist now: `year=2001/month=1`, sorted by their values.
    pub async fn partitions(&self) -> Result<Vec<String>> {
        Ok(self.list().await?.partitions.into_iter().map(|(text, _)| text).collect())
    }

    /// A partition as SHOW PARTITIONS names it, from the values of the partition columns in order.
    pub fn partition_text(&self, values: &[ScalarValue]) -> String {
        partition_text(&self.def.partition_columns, values)
    }

    /// A plan that writes `input` (columns: data columns in table order, then partition columns) and
    /// yields one row: `count` UInt64, the rows written. Nothing is visible before it is complete.
    pub fn insert_plan(&self, input: Arc<dyn ExecutionPlan>, mode: WriteMode) -> Result<Arc<dyn ExecutionPlan>> {
        write::insert_plan(&self.def, &self.storage, input, mode)
    }

    /// The files as they are now, between two commits. The one place where a table's directory is listed.
    async fn list(&self) -> Result<Listing> {
        Listing::of(&self.def, &self.storage).await
    }

    /// The files whose partition values satisfy all filters over partition columns.
    fn prune(&self, state: &dyn Session, files: Vec<DataFile>, filters: &[Expr]) -> PlanResult<Vec<DataFile>> {
        let filters = filters.iter().filter(|filter| self.is_over_partitions(filter)).cloned().collect::<Vec<_>>();
        if filters.is_empty() || files.is_empty() {
            return Ok(files);
        }
        let fields = self.table_schema.table_partition_cols();
        let mut arrays = Vec::with_capacity(fields.len());
        for (column_idx, _) in self.def.partition_columns.iter().enumerate() {
            arrays.push(ScalarValue::iter_to_array(files.iter().map(|file| file.values[column_idx].clone()))?);
        }
        if self.with_file {
            arrays.push(Arc::new(StringArray::from_iter_values(files.iter().map(|file| file.text.as_str()))));
        }
        let schema = Arc::new(Schema::new(fields.clone()));
        let options = RecordBatchOptions::new().with_row_count(Some(files.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
        let df_schema = DFSchema::try_from(schema)?;
        let mut selected: Option<BooleanArray> = None;
        for filter in filters {
            let expr = state.create_physical_expr(unnormalize_col(filter), &df_schema)?;
            let mask = expr.evaluate(&batch)?.into_array(batch.num_rows())?;
            let mask = mask.as_boolean();
            selected = Some(match selected {
                None => mask.clone(),
                Some(before) => and(&before, mask)?,
            });
        }
        let Some(selected) = selected else { return Ok(files) };
        let keep = files.into_iter().enumerate().filter(|(idx, _)| selected.is_valid(*idx) && selected.value(*idx));
        Ok(keep.map(|(_, file)| file).collect())
    }

    /// Whether a filter can be decided from the directories alone.
    fn is_over_partitions(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        let partition_columns = self.table_schema.table_partition_cols();
        !columns.is_empty()
            && !filter.is_volatile()
            && columns.iter().all(|column| partition_columns.iter().any(|field| field.name() == &column.name))
    }

    fn source(&self, state: &dyn Session, selection: Selection) -> Arc<dyn FileSource> {
        match LineSource::new(&self.def.format, self.table_schema.clone(), selection.clone()) {
            Some(source) => Arc::new(source),
            None => parquet::source(self.storage.store(), self.table_schema.clone(), parquet_options(state.config_options()), selection),
        }
    }

    fn partitioned_file(&self, file: DataFile) -> PartitionedFile {
        let mut values = file.values;
        if self.with_file {
            values.push(ScalarValue::Utf8(Some(file.text.clone())));
        }
        PartitionedFile::new_from_meta(file.meta).with_partition_values(values).with_extension(FileText(file.text))
    }
}

fn parquet_options(options: &ConfigOptions) -> TableParquetOptions {
    TableParquetOptions { global: options.execution.parquet.clone(), ..TableParquetOptions::default() }
}

/// How Parquet files that other programs wrote are read, for a table that knows its files from elsewhere: a Delta
/// log. `n_files`: selected and all.
pub(in crate::tables) fn foreign_parquet(
    store: Arc<dyn ObjectStore>,
    options: &ConfigOptions,
    table_schema: TableSchema,
    n_files: (usize, usize),
) -> Arc<dyn FileSource> {
    let selection = Selection { partitions: None, files: n_files, pins: Arc::default() };
    parquet::source(store, table_schema, parquet_options(options), selection)
}

/// How columns of such files become columns of the table.
pub(in crate::tables) fn foreign_columns() -> Arc<dyn PhysicalExprAdapterFactory> {
    Arc::new(parquet::HiveAdapterFactory)
}

/// Every column may be NULL: files of others do not keep our promises.
fn table_schema(def: &HiveTableDef, with_file: bool) -> TableSchema {
    let nullable = |field: &FieldRef| Arc::new(field.as_ref().clone().with_nullable(true));
    let fields = def.schema.fields().iter().map(nullable).collect::<Vec<_>>();
    let mut partition_columns = def.partition_columns.iter().map(nullable).collect::<Vec<_>>();
    if with_file {
        partition_columns.push(Arc::new(Field::new(FILE_COLUMN, DataType::Utf8, true)));
    }
    let file_schema = Schema::new_with_metadata(fields, def.schema.metadata().clone());
    TableSchema::builder(Arc::new(file_schema)).with_table_partition_cols(partition_columns).build()
}

impl HiveTable {
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, PlanResult<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let listing = self.list().await?;
            let (n_files, n_partitions) = (listing.files.len(), listing.partitions.len());
            let files = self.prune(state, listing.files, filters)?;
            let selected = files.iter().map(|file| partition_text(&self.def.partition_columns, &file.values)).collect::<BTreeSet<_>>();
            let selection = Selection {
                partitions: (!self.def.partition_columns.is_empty()).then_some((selected.len(), n_partitions)),
                files: (files.len(), n_files),
                pins: Arc::new(listing.pins),
            };
            let mut statistics = Statistics::new_unknown(self.table_schema.table_schema());
            let n_bytes = files.iter().map(|file| usize::try_from(file.meta.size).unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
            statistics.total_byte_size = Precision::Inexact(n_bytes);
            let group = FileGroup::new(files.into_iter().map(|file| self.partitioned_file(file)).collect());
            let groups = if group.is_empty() { vec![group] } else { group.split_files(state.config().target_partitions()) };
            let config = FileScanConfigBuilder::new(self.storage.store_url(), self.source(state, selection))
                .with_file_groups(groups)
                .with_statistics(statistics)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .with_expr_adapter(Some(Arc::new(parquet::HiveAdapterFactory)))
                .build();
            let scan: Arc<dyn ExecutionPlan> = DataSourceExec::from_data_source(config);
            Ok(scan)
        })
    }
}

impl TableProvider for HiveTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table_schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> PlanResult<Vec<TableProviderFilterPushDown>> {
        let by_files = match self.def.format {
            // Row groups and pages are pruned, rows are not.
            Format::Parquet(_) => TableProviderFilterPushDown::Inexact,
            Format::Text(_) | Format::Json(_) => TableProviderFilterPushDown::Unsupported,
        };
        let support = |filter: &&Expr| {
            if self.is_over_partitions(filter) { TableProviderFilterPushDown::Exact } else { by_files.clone() }
        };
        Ok(filters.iter().map(support).collect())
    }

    scan_by_plan!();
}
