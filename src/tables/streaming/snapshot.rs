//! One moment of a streaming table as the query engine scans it: a committed version and the hot batches above it.

use super::hot::HotBatch;
use super::hot_source::{self, Part};
use super::{SEEK_EPOCH_TXN, StreamTable};
use crate::tables::managed::Pin;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

/// See the module. Every scan sees the same rows, whatever arrives or is committed meanwhile.
#[derive(Debug)]
pub struct StreamSnapshot {
    table: Arc<StreamTable>,
    pin: Pin,
    files: Arc<dyn TableProvider>,
    epoch: i64,
    hot: Vec<Arc<HotBatch>>,
}

impl StreamSnapshot {
    pub(super) fn new(table: Arc<StreamTable>, pin: Pin, epoch: i64, hot: Vec<Arc<HotBatch>>) -> Self {
        let files = table.managed().snapshot_of(&pin);
        Self { table, pin, files, epoch, hot }
    }

    /// The table.
    pub fn table(&self) -> &Arc<StreamTable> {
        &self.table
    }

    /// The pinned version of the files.
    pub fn pin(&self) -> &Pin {
        &self.pin
    }

    /// The newest commit of the snapshot; hot batches belong to later ones.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// The pinned hot batches.
    pub fn hot(&self) -> &[Arc<HotBatch>] {
        &self.hot
    }

    /// The first commit after `epoch` that carried out a SEEK of a partition: rows of later commits were read anew.
    pub fn seek_after(&self, epoch: i64, partition: i32) -> Option<i64> {
        let prefix = self.table.managed().txn_id(SEEK_EPOCH_TXN);
        let seeks = self.pin.txns().filter_map(|(id, commit)| Some((id.strip_prefix(&prefix)?, commit)));
        let of_partition = seeks.filter(|(seek, _)| seek.split_once(':').is_none_or(|(_, only)| only.parse() == Ok(partition)));
        of_partition.map(|(_, commit)| commit).filter(|commit| *commit > epoch).min()
    }

    /// The offset behind the last record of the commits, by partition, as far as the log knows it.
    pub fn committed(&self) -> BTreeMap<i32, i64> {
        let prefix = self.table.managed().txn_id("offset:");
        // `offset:<topic>:<partition>`; a name of a topic has no colon. Below 0: nothing is known about the partition.
        let offsets = self.pin.txns().filter(|(_, offset)| *offset >= 0);
        offsets.filter_map(|(id, offset)| Some((id.strip_prefix(&prefix)?.rsplit_once(':')?.1.parse().ok()?, offset))).collect()
    }
}

impl StreamSnapshot {
    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            // The declared columns are the first ones of the files: the positions are the same.
            let columns: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect());
            self.plan_of(state, columns, filters, limit).await
        })
    }

    /// A scan of these columns of the files and of the hot batches, by position in the physical schema.
    pub(super) fn plan_of<'a>(
        &'a self,
        state: &'a dyn Session,
        columns: Vec<usize>,
        filters: &'a [Expr],
        limit: Option<usize>,
    ) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let files = self.files.scan(state, Some(&columns), filters, limit).await?;
            if self.hot.is_empty() {
                return Ok(files);
            }
            let physical = self.table.physical();
            let hot = hot_source::scan(self.hot.clone(), Part::Rows, &physical, columns, state.config().target_partitions())?;
            UnionExec::try_new(vec![files, hot])
        })
    }
}

impl TableProvider for StreamSnapshot {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.declared())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    scan_by_plan!();

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // They prune files; hot rows are filtered above.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
