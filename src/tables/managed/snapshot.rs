//! One committed version of a table as the query engine scans it.

use super::live_files::LiveFile;
use super::log::TableLog;
use super::places::{FILE_COLUMN, ROW_COLUMN};
use super::stats::{FileStats, bounds_are_exact};
use super::version::Version;
use datafusion::arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Result, ScalarValue, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::future::BoxFuture;
use object_store::ObjectMeta;
use object_store::path::Path;
use parquet::arrow::RowNumber;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A version of a managed table: every scan sees the same files, whatever is committed meanwhile.
#[derive(Debug)]
pub struct Snapshot {
    log: TableLog,
    version: Arc<Version>,
    /// Only these of its files.
    chosen: Option<Vec<Arc<LiveFile>>>,
    /// The columns of the table, and perhaps the places of the rows.
    schema: SchemaRef,
    /// The numbers of the file and of the row in it.
    has_places: bool,
}

impl Snapshot {
    pub fn new(log: TableLog, version: Arc<Version>) -> Self {
        let schema = Arc::clone(&version.definition.schema);
        Self { log, version, chosen: None, schema, has_places: false }
    }

    /// The rows, of all files or of some, with the numbers of their file and of the row in it.
    pub fn with_places(log: TableLog, version: Arc<Version>, chosen: Option<Vec<Arc<LiveFile>>>) -> Self {
        let columns = version.definition.schema.fields().iter().cloned().chain([file_field(), row_field()]);
        let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
        Self { schema, chosen, has_places: true, ..Self::new(log, version) }
    }

    fn files(&self) -> Vec<Arc<LiveFile>> {
        self.chosen.clone().unwrap_or_else(|| self.version.files.iter().cloned().collect())
    }

    fn partition_schema(&self) -> Schema {
        Schema::new(self.version.definition.partition_fields())
    }

    /// True when only partition columns decide: then the file list alone answers the filter.
    fn is_partition_filter(&self, filter: &Expr) -> bool {
        let partition_columns = self.version.definition.partition_columns();
        let partition_columns: Vec<&str> = partition_columns.iter().map(String::as_str).collect();
        !filter.column_refs().is_empty() && expr_applicable_for_cols(&partition_columns, filter)
    }

    /// The files whose partitions pass all partition filters.
    fn in_partitions(&self, state: &dyn Session, filters: &[&Expr]) -> Result<Vec<Arc<LiveFile>>> {
        let files = self.files();
        let Some(filter) = conjunction(filters.iter().copied().cloned()) else { return Ok(files) };
        if files.is_empty() {
            return Ok(files);
        }
        let schema = Arc::new(self.partition_schema());
        let columns = (0..schema.fields().len())
            .map(|index| ScalarValue::iter_to_array(files.iter().map(|file| file.partition[index].clone())))
            .collect::<Result<Vec<_>>>()?;
        let partitions =
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &RecordBatchOptions::new().with_row_count(Some(files.len())))?;
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
        let passes = filter.evaluate(&partitions)?.into_array(files.len())?;
        let passes = datafusion::common::cast::as_boolean_array(&passes)?;
        Ok(files.into_iter().zip(passes).filter(|(_, pass)| *pass == Some(true)).map(|(file, _)| file).collect())
    }

    /// Drops the files that cannot have a row for the filters, by their statistics.
    fn prune(&self, state: &dyn Session, filters: &[&Expr], files: Vec<Arc<LiveFile>>) -> Result<Vec<Arc<LiveFile>>> {
        let Some(filter) = conjunction(filters.iter().copied().cloned()) else { return Ok(files) };
        let schema = Arc::clone(&self.version.definition.schema);
        // A filter that the pruning does not understand (a sub-query, say) keeps all files.
        let predicate = state
            .create_physical_expr(filter, &DFSchema::try_from(Arc::clone(&schema))?)
            .and_then(|filter| PruningPredicateBuilder::new().with_file_schema(schema).try_build(filter));
        let Ok(predicate) = predicate else { return Ok(files) };
        let keep = match predicate.prune(&FileBounds { snapshot: self, files: &files }) {
            Ok(keep) => keep,
            Err(error) => {
                tracing::debug!(table = %self.log.name, error = %error, "files not pruned");
                return Ok(files);
            }
        };
        Ok(files.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| file).collect())
    }

    /// The numbers of all files, when they are asked for.
    fn numbers(&self) -> HashMap<&Path, i64> {
        if !self.has_places {
            return HashMap::new();
        }
        self.version.files.iter().zip(0..).map(|(file, number)| (&file.path, number)).collect()
    }

    /// The schema of the scan: the columns in the files, then the partition columns.
    fn scan_schema(&self) -> TableSchema {
        let mut constants = self.version.definition.partition_fields();
        constants.extend(self.has_places.then(file_field));
        let computed: Vec<FieldRef> = self.has_places.then(row_field).into_iter().collect();
        TableSchema::builder(Arc::clone(&self.version.definition.file_schema))
            .with_table_partition_cols(constants)
            .with_virtual_columns(computed)
            .build()
    }

    /// A position in the table as a position in the scan.
    fn scan_index(&self, index: usize) -> usize {
        let definition = &self.version.definition;
        match definition.partition_indexes.iter().position(|&partition| partition == index) {
            Some(position) => definition.file_indexes.len() + position,
            None if index >= definition.schema.fields().len() => index,
            // Both lists together hold every position.
            None => definition.file_indexes.iter().position(|&file| file == index).unwrap_or_default(),
        }
    }

    /// Statistics of one file in scan order. Set by hand: `PartitionedFile::with_statistics` believes that no
    /// partition value is NULL.
    fn file_statistics(&self, file: &LiveFile) -> Statistics {
        let definition = &self.version.definition;
        let n_rows = file.stats.as_ref().map(|stats| precise(stats.n_rows));
        let in_files = definition.file_schema.fields().iter().enumerate().map(|(index, field)| {
            let Some(column) = file.stats.as_ref().and_then(|stats| stats.columns.get(index)) else {
                return ColumnStatistics::new_unknown();
            };
            let bound = |value: &Option<ScalarValue>| match value {
                Some(value) if bounds_are_exact(field.data_type()) => Precision::Exact(value.clone()),
                Some(value) => Precision::Inexact(value.clone()),
                None => Precision::Absent,
            };
            ColumnStatistics {
                null_count: column.n_nulls.map_or(Precision::Absent, precise),
                min_value: bound(&column.min),
                max_value: bound(&column.max),
                ..ColumnStatistics::new_unknown()
            }
        });
        let in_partition = file.partition.iter().map(|value| {
            let mut column = ColumnStatistics::new_unknown();
            if value.is_null() {
                column.null_count = n_rows.unwrap_or_default();
            } else {
                column.null_count = Precision::Exact(0);
                column.min_value = Precision::Exact(value.clone());
                column.max_value = Precision::Exact(value.clone());
            }
            column
        });
        let of_place = std::iter::repeat_n(ColumnStatistics::new_unknown(), if self.has_places { 2 } else { 0 });
        Statistics {
            num_rows: n_rows.unwrap_or_default(),
            total_byte_size: Precision::Absent,
            column_statistics: in_files.chain(in_partition).chain(of_place).collect(),
        }
    }

    fn scan_file(&self, file: &LiveFile, number: i64, statistics: Arc<Statistics>) -> PartitionedFile {
        let mut constants = file.partition.clone();
        constants.extend(self.has_places.then(|| ScalarValue::from(number)));
        let mut scanned = PartitionedFile::new_from_meta(ObjectMeta {
            location: self.log.absolute(&file.path),
            last_modified: chrono::DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
            size: file.size_bytes,
            e_tag: None,
            version: None,
        })
        .with_partition_values(constants)
        // As long as a plan has the file, nobody deletes it.
        .with_extension(Arc::clone(&self.version));
        scanned.statistics = Some(statistics);
        scanned
    }
}

fn file_field() -> FieldRef {
    Arc::new(Field::new(FILE_COLUMN, DataType::Int64, false))
}

fn row_field() -> FieldRef {
    Arc::new(Field::new(ROW_COLUMN, DataType::Int64, false).with_extension_type(RowNumber))
}

fn precise(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

/// The statistics of some files together: exact where all files are.
fn merged(files: &[Arc<Statistics>], n_columns: usize) -> Statistics {
    let mut total = Statistics {
        num_rows: Precision::Exact(0),
        total_byte_size: Precision::Absent,
        column_statistics: vec![ColumnStatistics::new_unknown(); n_columns],
    };
    for (index, file) in files.iter().enumerate() {
        total.num_rows = total.num_rows.add(&file.num_rows);
        for (sum, column) in total.column_statistics.iter_mut().zip(&file.column_statistics) {
            // A file without any value of the column does not move its bounds.
            let is_all_null = file.num_rows != Precision::Absent && column.null_count == file.num_rows;
            if index == 0 {
                *sum = column.clone();
            } else {
                sum.null_count = sum.null_count.add(&column.null_count);
                if !is_all_null {
                    sum.min_value = sum.min_value.min(&column.min_value);
                    sum.max_value = sum.max_value.max(&column.max_value);
                }
            }
        }
    }
    total
}

impl Snapshot {
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let (partition_filters, row_filters): (Vec<&Expr>, Vec<&Expr>) =
                filters.iter().partition(|filter| self.is_partition_filter(filter));
            let files = self.in_partitions(state, &partition_filters)?;
            let files = self.prune(state, &row_filters, files)?;

            let scan_schema = self.scan_schema();
            let n_columns = scan_schema.table_schema().fields().len();
            let indexes: Vec<usize> = match projection {
                Some(projection) => projection.iter().map(|&index| self.scan_index(index)).collect(),
                None => (0..n_columns).map(|index| self.scan_index(index)).collect(),
            };
            if files.is_empty() {
                return Ok(Arc::new(EmptyExec::new(Arc::new(scan_schema.table_schema().project(&indexes)?))) as Arc<dyn ExecutionPlan>);
            }
            let statistics: Vec<Arc<Statistics>> = files.iter().map(|file| Arc::new(self.file_statistics(file))).collect();
            let total = merged(&statistics, n_columns);
            let numbers = self.numbers();
            let number = |file: &LiveFile| numbers.get(&file.path).copied().unwrap_or_default();
            let scanned = files.iter().zip(statistics).map(|(file, statistics)| self.scan_file(file, number(file), statistics)).collect();
            let groups = FileGroup::new(scanned).split_files(state.config().target_partitions());

            if self.version.definition.is_foreign {
                let store = state.runtime_env().object_store(&self.log.store_url)?;
                let n_files = (files.len(), self.version.files.iter().count());
                let source = crate::tables::hive::foreign_parquet(store, state.config_options(), scan_schema, n_files);
                let config = FileScanConfigBuilder::new(self.log.store_url.clone(), source)
                    .with_file_groups(groups)
                    .with_statistics(total)
                    .with_projection_indices(Some(indexes))?
                    .with_limit(limit)
                    .with_expr_adapter(Some(crate::tables::hive::foreign_columns()))
                    .build();
                return Ok(DataSourceExec::from_data_source(config));
            }
            let format = ParquetFormat::new().with_options(state.table_options().parquet.clone());
            let config = FileScanConfigBuilder::new(self.log.store_url.clone(), format.file_source(scan_schema))
                .with_file_groups(groups)
                .with_statistics(total)
                .with_projection_indices(Some(indexes))?
                .with_limit(limit)
                .build();
            format.create_physical_plan(state, config).await
        })
    }
}

impl TableProvider for Snapshot {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    scan_by_plan!();

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_partition_filter(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }
}

/// The bounds of some files, column by column, as the pruning asks for them.
struct FileBounds<'a> {
    snapshot: &'a Snapshot,
    files: &'a [Arc<LiveFile>],
}

impl FileBounds<'_> {
    /// One value per file; unknown is NULL.
    fn values(&self, column: &Column, of_stats: impl Fn(&FileStats, usize) -> Option<ScalarValue>) -> Option<ArrayRef> {
        let definition = &self.snapshot.version.definition;
        let index = definition.schema.index_of(&column.name).ok()?;
        let unknown = ScalarValue::try_from(definition.schema.field(index).data_type()).ok()?;
        let values = self.files.iter().map(|file| {
            let value = match definition.partition_indexes.iter().position(|&partition| partition == index) {
                Some(position) => Some(file.partition[position].clone()),
                None => file
                    .stats
                    .as_ref()
                    .and_then(|stats| of_stats(stats, definition.file_indexes.iter().position(|&in_file| in_file == index)?)),
            };
            value.unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |stats, index| stats.columns.get(index)?.min.clone())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |stats, index| stats.columns.get(index)?.max.clone())
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let definition = &self.snapshot.version.definition;
        let index = definition.schema.index_of(&column.name).ok()?;
        let partition = definition.partition_indexes.iter().position(|&partition| partition == index);
        let in_file = definition.file_indexes.iter().position(|&in_file| in_file == index);
        let counts = self.files.iter().map(|file| match (partition, in_file, &file.stats) {
            (Some(position), _, Some(stats)) => Some(if file.partition[position].is_null() { stats.n_rows } else { 0 }),
            (None, Some(index), Some(stats)) => stats.columns.get(index)?.n_nulls,
            _ => None,
        });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.files.iter().map(|file| file.stats.as_ref().map(|stats| stats.n_rows));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
