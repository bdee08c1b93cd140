//! Hot batches as a data source of the query engine. The plan holds the batches, so their memory stays counted.

use super::hot::HotBatch;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, project_schema};
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan, Partitioning};
use std::fmt;
use std::sync::Arc;

/// Rows below which one partition is enough.
const PARTITION_ROWS_MIN: usize = 32_768;

/// Which rows of a hot batch are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Rows,
    DeadLetters,
}

impl Part {
    fn of(self, batch: &HotBatch) -> Option<&RecordBatch> {
        match self {
            Self::Rows => Some(&batch.rows),
            Self::DeadLetters => batch.dead_letters.as_ref(),
        }
    }
}

/// See the module.
#[derive(Debug)]
struct HotSource {
    partitions: Vec<Vec<Arc<HotBatch>>>,
    part: Part,
    /// Columns of the batches to give, in this order.
    projection: Vec<usize>,
    schema: SchemaRef,
}

/// A scan of hot batches in up to `n_partitions` partitions; `columns` are positions in `schema`, the batches' own.
pub fn scan(
    batches: Vec<Arc<HotBatch>>,
    part: Part,
    schema: &SchemaRef,
    columns: Vec<usize>,
    n_partitions: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let batches: Vec<_> = batches.into_iter().filter(|batch| part.of(batch).is_some_and(|rows| rows.num_rows() > 0)).collect();
    let n_rows: usize = batches.iter().filter_map(|batch| part.of(batch)).map(RecordBatch::num_rows).sum();
    let n_partitions = (n_rows / PARTITION_ROWS_MIN).clamp(1, n_partitions.max(1));
    let chunk = batches.len().div_ceil(n_partitions).max(1);
    let mut partitions: Vec<Vec<_>> = batches.chunks(chunk).map(<[_]>::to_vec).collect();
    if partitions.is_empty() {
        partitions.push(Vec::new());
    }
    let schema = project_schema(schema, Some(&columns))?;
    Ok(Arc::new(DataSourceExec::new(Arc::new(HotSource { partitions, part, projection: columns, schema }))))
}

impl HotSource {
    fn n_rows(&self, partition: Option<usize>) -> usize {
        let chosen = self.partitions.iter().enumerate().filter(|(index, _)| partition.is_none_or(|wanted| wanted == *index));
        chosen.flat_map(|(_, batches)| batches).filter_map(|batch| self.part.of(batch)).map(RecordBatch::num_rows).sum()
    }
}

impl DataSource for HotSource {
    fn open(&self, partition: usize, _context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.partitions.get(partition).cloned().unwrap_or_default();
        let (part, projection, schema) = (self.part, self.projection.clone(), Arc::clone(&self.schema));
        let rows = batches.into_iter().filter_map(move |batch| {
            let rows = part.of(&batch)?;
            // The names and the nullability are those of the table, whatever the batch was built with.
            Some(rows.project(&projection).and_then(|rows| rows.with_schema(Arc::clone(&schema))).map_err(Into::into))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(rows))))
    }

    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_batches: usize = self.partitions.iter().map(Vec::len).sum();
        write!(f, "hot rows={}, batches={n_batches}", self.n_rows(None))
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions.len())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(Arc::clone(&self.schema))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let n_rows = Precision::Exact(self.n_rows(partition));
        let schema: &Schema = &self.schema;
        Ok(Arc::new(Statistics { num_rows: n_rows, ..Statistics::new_unknown(schema) }))
    }

    fn with_fetch(&self, _limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        None
    }

    fn fetch(&self) -> Option<usize> {
        None
    }

    fn try_swapping_with_projection(&self, _projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(&self, _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}
