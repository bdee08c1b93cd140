//! Parquet files: footers read safely, columns matched by name without regard to case.

mod adapter;
mod conform;
mod nan;
#[cfg(test)]
mod tests;

pub(super) use adapter::HiveAdapterFactory;
pub(super) use nan::may_prune;

use super::scan::{FileText, NamedParquetSource, Selection};
use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as PlanResult;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileSource, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataBuilder};
use std::ops::Range;
use std::sync::Arc;

/// The last bytes of a file, read at once: nearly always the whole footer.
const FOOTER_HINT_BYTES: usize = 64 << 10;

/// DataFusion's Parquet scan with our reader.
pub(super) fn source(
    store: Arc<dyn ObjectStore>,
    table_schema: TableSchema,
    mut options: TableParquetOptions,
    selection: Selection,
) -> Arc<dyn FileSource> {
    // engine-traps.md: filters within the reader gave wrong rows; they prune row groups and pages only.
    options.global.pushdown_filters = false;
    options.global.coerce_int96 = Some("us".into());
    options.global.coerce_int96_tz = None;
    let source = ParquetSource::new(table_schema)
        .with_table_parquet_options(options)
        .with_metadata_size_hint(FOOTER_HINT_BYTES)
        .with_parquet_file_reader_factory(Arc::new(ReaderFactory::new(store)));
    Arc::new(NamedParquetSource::new(source, selection))
}

/// The columns of one file, as its Parquet types say.
pub(super) async fn file_schema(store: &Arc<dyn ObjectStore>, file: PartitionedFile) -> PlanResult<SchemaRef> {
    let factory = ReaderFactory::new(Arc::clone(store));
    let mut reader = factory.create_reader(0, file, Some(FOOTER_HINT_BYTES), &ExecutionPlanMetricsSet::new())?;
    let metadata = reader.get_metadata(None).await?;
    Ok(Arc::new(parquet_to_arrow_schema(metadata.file_metadata().schema_descr(), None)?))
}

/// The file's name in an error about its footer.
pub(super) fn named(error: datafusion::common::DataFusionError, file: &PartitionedFile) -> crate::error::Error {
    match super::scan::name_file(error, &FileText::of(file)) {
        datafusion::common::DataFusionError::External(inner) => match inner.downcast::<crate::error::Error>() {
            Ok(ours) => *ours,
            Err(other) => crate::error::Error::internal(other.to_string()),
        },
        other => crate::error::Error::new(
            crate::error::Code::DataCorrupted,
            format!("could not read Parquet file \"{}\": {}", FileText::of(file), other.strip_backtrace()),
        ),
    }
}

/// Readers that never decode the Arrow schema some writers embed in the footer: its decoder panics on hostile
/// bytes (engine-traps.md), and we take types from Parquet and from the declared columns anyway.
#[derive(Debug)]
struct ReaderFactory {
    inner: DefaultParquetFileReaderFactory,
}

impl ReaderFactory {
    fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { inner: DefaultParquetFileReaderFactory::new(store) }
    }
}

impl ParquetFileReaderFactory for ReaderFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        partitioned_file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> PlanResult<Box<dyn AsyncFileReader + Send>> {
        let inner = self.inner.create_reader(partition_index, partitioned_file, metadata_size_hint, metrics)?;
        Ok(Box::new(Reader { inner }))
    }
}

struct Reader {
    inner: Box<dyn AsyncFileReader + Send>,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(&'a mut self, options: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move { Ok(without_key_values(self.inner.get_metadata(options).await?)) }.boxed()
    }
}

fn without_key_values(metadata: Arc<ParquetMetaData>) -> Arc<ParquetMetaData> {
    let file = metadata.file_metadata();
    if file.key_value_metadata().is_none() {
        return metadata;
    }
    let file = FileMetaData::new(
        file.version(),
        file.num_rows(),
        file.created_by().map(str::to_string),
        None,
        file.schema_descr_ptr(),
        file.column_orders().cloned(),
    );
    let rebuilt = ParquetMetaDataBuilder::new(file)
        .set_row_groups(metadata.row_groups().to_vec())
        .set_column_index(metadata.column_index().cloned())
        .set_offset_index(metadata.offset_index().cloned());
    Arc::new(rebuilt.build())
}
