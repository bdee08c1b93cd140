//! What all scans of Hive tables share: the selection that EXPLAIN shows, and errors that name the file.

use crate::error::{Code, Error};
use crate::storage::DirectoryPin;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpener, FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::{FilterPushdownPropagation, PushedDown};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, PhysicalExpr, SortOrderPushdownResult};
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How a file is called towards the user; travels with the [`PartitionedFile`].
#[derive(Debug, Clone)]
pub(super) struct FileText(pub(super) String);

impl FileText {
    /// The text of a file; one without (there is none in our scans) shows its path.
    pub(super) fn of(file: &PartitionedFile) -> String {
        file.extension::<Self>().map_or_else(|| file.object_meta.location.to_string(), |text| text.0.clone())
    }
}

/// How much of a table a scan reads.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// Selected and all; `None` for a table without partitions.
    pub(super) partitions: Option<(usize, usize)>,
    pub(super) files: (usize, usize),
    /// Keep the files where they are as long as the plan or one of its streams lives.
    pub(super) pins: Arc<Vec<DirectoryPin>>,
}

impl Selection {
    /// As EXPLAIN prints it.
    pub(super) fn fmt(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((selected, all)) = self.partitions {
            parts.push(format!("partitions={selected}/{all}"));
        }
        parts.push(format!("files={}/{}", self.files.0, self.files.1));
        match format {
            DisplayFormatType::TreeRender => parts.iter().try_for_each(|part| writeln!(f, "{part}")),
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, ", {}", parts.join(", ")),
        }
    }
}

/// DataFusion's Parquet scan, with the selection in EXPLAIN and the file's name in errors.
pub(super) struct NamedParquetSource {
    inner: Arc<dyn FileSource>,
    selection: Selection,
}

impl NamedParquetSource {
    pub(super) fn new(inner: ParquetSource, selection: Selection) -> Self {
        Self { inner: Arc::new(inner), selection }
    }

    fn again(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, selection: self.selection.clone() })
    }
}

impl FileSource for NamedParquetSource {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> PlanResult<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(object_store, base_config, partition)
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> PlanResult<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(object_store, base_config, partition)?;
        Ok(Box::new(NamedMorselizer { inner, pins: Arc::clone(&self.selection.pins) }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.again(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        self.selection.fmt(format, f)?;
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> PlanResult<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        // The inner source only prunes by a filter and never applies it, so one that it does not get costs time, not rows.
        let schema = Arc::clone(self.inner.table_schema().table_schema());
        let mut answers = vec![PushedDown::No; filters.len()];
        let (idxs, safe): (Vec<usize>, Vec<_>) =
            filters.into_iter().enumerate().filter(|(_, filter)| super::parquet::may_prune(filter, &schema)).unzip();
        let pushed = self.inner.try_pushdown_filters(safe, config)?;
        for (idx, answer) in idxs.into_iter().zip(pushed.filters) {
            answers[idx] = answer;
        }
        Ok(FilterPushdownPropagation { filters: answers, updated_node: pushed.updated_node.map(|inner| self.again(inner)) })
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        eq_properties: &EquivalenceProperties,
    ) -> PlanResult<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, eq_properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.again(inner) },
            SortOrderPushdownResult::Inexact { inner } => SortOrderPushdownResult::Inexact { inner: self.again(inner) },
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> PlanResult<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.again(inner)))
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> PlanResult<TreeNodeRecursion>,
    ) -> PlanResult<TreeNodeRecursion> {
        self.inner.apply_expressions(visit)
    }
}

#[derive(Debug)]
struct NamedMorselizer {
    inner: Box<dyn Morselizer>,
    pins: Arc<Vec<DirectoryPin>>,
}

/// The file that a planner or a morsel reads.
#[derive(Debug, Clone)]
struct OpenFile {
    name: Arc<str>,
    /// The reader opens the file again for every range: it must stay until the last one.
    _pins: Arc<Vec<DirectoryPin>>,
}

impl Morselizer for NamedMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> PlanResult<Box<dyn MorselPlanner>> {
        let open = OpenFile { name: FileText::of(&file).into(), _pins: Arc::clone(&self.pins) };
        let inner = guarded(&open.name, || self.inner.plan_file(file))?;
        Ok(Box::new(NamedPlanner { inner, open }))
    }
}

#[derive(Debug)]
struct NamedPlanner {
    inner: Box<dyn MorselPlanner>,
    open: OpenFile,
}

impl MorselPlanner for NamedPlanner {
    fn plan(self: Box<Self>) -> PlanResult<Option<MorselPlan>> {
        let Self { inner, open } = *self;
        let Some(mut plan) = guarded(&open.name, || inner.plan())? else { return Ok(None) };
        let named = |inner: Box<dyn MorselPlanner>| Box::new(Self { inner, open: open.clone() }) as Box<dyn MorselPlanner>;
        let morsels = plan.take_morsels().into_iter();
        let morsels = morsels.map(|inner| Box::new(NamedMorsel { inner, open: open.clone() }) as Box<dyn Morsel>).collect();
        let planners = plan.take_ready_planners().into_iter().map(named).collect();
        let pending = plan.take_pending_planner();
        let mut plan = MorselPlan::new().with_morsels(morsels).with_planners(planners);
        if let Some(pending) = pending {
            plan.set_pending_planner(async move {
                let inner = match AssertUnwindSafe(pending).catch_unwind().await {
                    Ok(inner) => inner.map_err(|error| name_file(error, &open.name))?,
                    Err(panic) => return Err(panicked(&open.name, panic.as_ref())),
                };
                Ok(Box::new(Self { inner, open }) as Box<dyn MorselPlanner>)
            });
        }
        Ok(Some(plan))
    }
}

#[derive(Debug)]
struct NamedMorsel {
    inner: Box<dyn Morsel>,
    open: OpenFile,
}

impl Morsel for NamedMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, PlanResult<RecordBatch>> {
        let open = self.open;
        let batches = AssertUnwindSafe(self.inner.into_stream()).catch_unwind();
        let named = batches.map(move |batch| match batch {
            Ok(batch) => batch.map_err(|error| name_file(error, &open.name)),
            Err(panic) => Err(panicked(&open.name, panic.as_ref())),
        });
        named.boxed()
    }
}

/// Runs a step of the Parquet reader. It panics on some broken files (a text that is not UTF-8 in a column that
/// is not marked as text, for one): a file must not end more than its own query.
fn guarded<T>(file: &str, step: impl FnOnce() -> PlanResult<T>) -> PlanResult<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| name_file(error, file)),
        Err(panic) => Err(panicked(file, panic.as_ref())),
    }
}

fn panicked(file: &str, panic: &(dyn Any + Send)) -> DataFusionError {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    broken(file, text.unwrap_or("no reason"))
}

fn broken(file: &str, text: &str) -> DataFusionError {
    let error = Error::new(Code::DataCorrupted, format!("could not read Parquet file \"{file}\""));
    error.detail(format!("The reader says: {}.", reason(text).trim_end_matches('.'))).into()
}

/// What the reader says without its prefixes: kinds of error, and the file by its path on this machine.
fn reason(text: &str) -> &str {
    let mut text = text;
    loop {
        let shorter = ["Parquet error: ", "EOF: ", "External: "].iter().find_map(|prefix| text.strip_prefix(prefix));
        let shorter =
            shorter.or_else(|| text.strip_prefix("Failed to fetch metadata for file ").and_then(|rest| Some(rest.split_once(": ")?.1)));
        match shorter {
            Some(shorter) => text = shorter,
            None => return text,
        }
    }
}

/// Puts the file's name into an error about the file. What is the query's own fault (a division by zero in a
/// projection that runs in the scan) passes unchanged.
pub(super) fn name_file(error: DataFusionError, file: &str) -> DataFusionError {
    let broken = |text: String| broken(file, &text);
    match error {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => {
                let message = format!("file \"{file}\": {}", ours.message);
                Error { message, ..*ours }.into()
            }
            Err(inner) => DataFusionError::External(inner),
        },
        DataFusionError::ParquetError(inner) => match *inner {
            parquet::errors::ParquetError::External(source) => match source.downcast::<Error>() {
                Ok(ours) => (*ours).into(),
                Err(source) => match source.downcast::<object_store::Error>() {
                    Ok(source) => super::chunk::store_error(file, &source).into(),
                    Err(source) => broken(source.to_string()),
                },
            },
            other => broken(other.to_string()),
        },
        DataFusionError::ArrowError(inner, backtrace) => match *inner {
            ArrowError::ParquetError(text) | ArrowError::IpcError(text) => broken(text),
            ArrowError::ExternalError(source) => broken(source.to_string()),
            ArrowError::CastError(text) => Error::new(Code::InvalidValue, format!("file \"{file}\": {}", lower_first(&text))).into(),
            other => DataFusionError::ArrowError(Box::new(other), backtrace),
        },
        DataFusionError::ObjectStore(inner) => super::chunk::store_error(file, &inner).into(),
        DataFusionError::IoError(_) => Error::new(Code::Io, format!("could not read file \"{file}\"")).into(),
        DataFusionError::Context(_, inner) => name_file(*inner, file),
        DataFusionError::Shared(inner) => match &*inner {
            DataFusionError::ParquetError(text) => broken(text.to_string()),
            _ => DataFusionError::Shared(inner),
        },
        other => other,
    }
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
