//! The scan of files that are read line by line: CSV, TEXTFILE and JSON.
//!
//! ```text
//! Chunks (blocking thread) -> decoder (text or json) -> batches of the needed columns -> the rest of the projection
//! ```

use super::chunk::Chunks;
use super::format::{Format, JsonOptions, TextOptions};
use super::json::JsonDecoder;
use super::scan::{FileText, Selection};
use super::text::TextDecoder;
use crate::error::{Error, Result};
use crate::storage::DirectoryPin;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::Result as PlanResult;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr};
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use std::fmt;
use std::sync::Arc;

/// A decoder makes batches out of the pieces of one file.
pub(super) trait Decoder: Send {
    /// Takes the next piece; `None` is the end of the file.
    fn push(&mut self, chunk: Option<Vec<u8>>);

    /// The next batch; `None` when it needs another piece, or after the end, when all is said.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>>;
}

/// What a decoder is made from.
#[derive(Debug, Clone)]
pub(super) struct DecoderTask {
    /// For messages.
    pub(super) file: String,
    /// All columns of the table that lie in files.
    pub(super) schema: SchemaRef,
    /// The columns wanted, as indexes into `schema`.
    pub(super) columns: Vec<usize>,
    pub(super) batch_rows: usize,
    /// Counts fields that became NULL because they did not fit.
    pub(super) bad_fields: Count,
}

#[derive(Debug, Clone)]
enum LineFormat {
    Text(TextOptions),
    Json(JsonOptions),
}

/// Reads CSV, TEXTFILE and JSON files.
#[derive(Clone)]
pub(super) struct LineSource {
    format: LineFormat,
    table_schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
    selection: Selection,
}

impl LineSource {
    /// `None` for Parquet.
    pub(super) fn new(format: &Format, table_schema: TableSchema, selection: Selection) -> Option<Self> {
        let format = match format {
            Format::Parquet(_) => return None,
            Format::Text(options) => LineFormat::Text(options.clone()),
            Format::Json(options) => LineFormat::Json(options.clone()),
        };
        let projection = SplitProjection::unprojected(&table_schema);
        Some(Self { format, table_schema, projection, batch_rows: 8_192, metrics: ExecutionPlanMetricsSet::new(), selection })
    }
}

impl FileSource for LineSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        _base_config: &FileScanConfig,
        partition: usize,
    ) -> PlanResult<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let opener = LineOpener {
            format: self.format.clone(),
            store: object_store,
            pins: Arc::clone(&self.selection.pins),
            task: DecoderTask {
                file: String::new(),
                schema: Arc::clone(file_schema),
                columns: self.projection.file_indices.clone(),
                batch_rows: self.batch_rows,
                bad_fields: MetricBuilder::new(&self.metrics).counter("bad_fields_as_null", partition),
            },
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: batch_size, ..self.clone() })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> PlanResult<Option<Arc<dyn FileSource>>> {
        let merged = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &merged);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match &self.format {
            LineFormat::Text(options) if options.ragged => "textfile",
            LineFormat::Text(_) => "csv",
            LineFormat::Json(_) => "json",
        }
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.selection.fmt(format, f)
    }

    /// A record may span lines, so only whole files are read in parallel.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        for projected in &self.projection.source {
            if visit(&projected.expr)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }
}

struct LineOpener {
    format: LineFormat,
    store: Arc<dyn ObjectStore>,
    /// Files not yet opened must stay.
    pins: Arc<Vec<DirectoryPin>>,
    task: DecoderTask,
}

impl FileOpener for LineOpener {
    fn open(&self, partitioned_file: PartitionedFile) -> PlanResult<FileOpenFuture> {
        let file = FileText::of(&partitioned_file);
        let task = DecoderTask { file: file.clone(), ..self.task.clone() };
        let decoder: Box<dyn Decoder> = match &self.format {
            LineFormat::Text(options) => Box::new(TextDecoder::new(options, task)?),
            LineFormat::Json(options) => Box::new(JsonDecoder::new(options, task)?),
        };
        let (store, pins) = (Arc::clone(&self.store), Arc::clone(&self.pins));
        let path = partitioned_file.object_meta.location;
        let opened = async move {
            let chunks = Chunks::open(&store, &path, &file).await?;
            drop(pins);
            let batches = futures::stream::try_unfold((chunks, decoder), |(mut chunks, mut decoder)| async move {
                let batch = next_batch(&mut chunks, decoder.as_mut()).await?;
                Ok::<_, Error>(batch.map(|batch| (batch, (chunks, decoder))))
            });
            Ok(batches.map(|batch| batch.map_err(Into::into)).boxed())
        };
        Ok(opened.boxed())
    }
}

async fn next_batch(chunks: &mut Chunks, decoder: &mut dyn Decoder) -> Result<Option<RecordBatch>> {
    loop {
        if let Some(batch) = decoder.next_batch()? {
            return Ok(Some(batch));
        }
        let chunk = chunks.next().await?;
        let at_end = chunk.is_none();
        decoder.push(chunk);
        if at_end {
            return decoder.next_batch();
        }
    }
}

/// The bytes that are read and not yet decoded.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    start: usize,
    pub(super) at_end: bool,
    begun: bool,
}

impl Pending {
    pub(super) fn push(&mut self, chunk: Option<Vec<u8>>) {
        let Some(mut chunk) = chunk else {
            self.at_end = true;
            return;
        };
        if !self.begun {
            self.begun = true;
            // A byte order mark; a file of less than three bytes arrives whole, so it is never split.
            if chunk.starts_with(b"\xEF\xBB\xBF") {
                chunk.drain(..3);
            }
        }
        if self.start == self.bytes.len() {
            self.bytes = chunk;
        } else {
            self.bytes.drain(..self.start);
            self.bytes.append(&mut chunk);
        }
        self.start = 0;
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }
}
