//! How far a reader of a streaming table has come, and the rows that it has not had.
//!
//! A commit's number is with its rows for good ([`EPOCH_COLUMN`]): what a reader has had of the commits is one number.
//! Rows that are in no commit yet are told by their offsets, for after a failure they may come again in another batch and
//! in another commit.

use super::snapshot::StreamSnapshot;
use super::{EPOCH_COLUMN, OFFSET_COLUMN, PARTITION_COLUMN};
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType, lit};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which rows of a streaming table a reader has had.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// He has had the commits up to this one.
    epoch: i64,
    /// Of later commits he has had the rows before these offsets, by partition: they were hot.
    #[serde(default)]
    hot: BTreeMap<i32, i64>,
    /// How far the commits had come, by partition.
    #[serde(default)]
    committed: BTreeMap<i32, i64>,
}

impl Cursor {
    /// Of a reader who has had a snapshot.
    pub fn at(snapshot: &StreamSnapshot) -> Self {
        let physical = snapshot.table().physical();
        let places = physical.index_of(PARTITION_COLUMN).and_then(|partition| Ok((partition, physical.index_of(OFFSET_COLUMN)?)));
        let mut hot = BTreeMap::new();
        if let Ok((partition, offset)) = places {
            for batch in snapshot.hot() {
                let partitions = batch.rows.column(partition).as_primitive::<Int32Type>().values();
                let offsets = batch.rows.column(offset).as_primitive::<Int64Type>().values();
                let mut last: Option<(i32, i64)> = None;
                for (partition, offset) in partitions.iter().zip(offsets) {
                    // Records of a fetch come partition by partition, in the order of their offsets.
                    if let Some((known, end)) = &mut last
                        && known == partition
                    {
                        *end = (*end).max(*offset + 1);
                        continue;
                    }
                    reach(&mut hot, last.replace((*partition, *offset + 1)));
                }
                reach(&mut hot, last);
            }
        }
        Self { epoch: snapshot.epoch(), hot, committed: snapshot.committed() }
    }

    /// After the rows of a later snapshot that are new to this reader.
    #[must_use]
    pub fn after(&self, snapshot: &StreamSnapshot) -> Self {
        self.then(Self::at(snapshot), |partition| snapshot.seek_after(self.epoch, partition).is_some())
    }

    /// The cursor of a later snapshot, for a reader who has had hot rows before; `is_sought` for partitions that were read anew since.
    fn then(&self, mut next: Self, is_sought: impl Fn(i32) -> bool) -> Self {
        for (partition, end) in &self.hot {
            // What is read after a SEEK is new, whatever its offset. Else what was hot is in the commits by now, or will be.
            if !is_sought(*partition) && next.committed.get(partition).is_none_or(|committed| committed < end) {
                reach(&mut next.hot, Some((*partition, *end)));
            }
        }
        next
    }

    /// True for rows that the reader has not had. `seek_after`: the first commit after the cursor that carried out a SEEK of a
    /// partition.
    fn is_new(&self, seek_after: impl Fn(i32) -> Option<i64>) -> Expr {
        let column = |name: &str| Expr::Column(datafusion::common::Column::new_unqualified(name));
        let later = column(EPOCH_COLUMN).gt(lit(self.epoch));
        let had = self.hot.iter().map(|(partition, end)| {
            let had = column(PARTITION_COLUMN).eq(lit(*partition)).and(column(OFFSET_COLUMN).lt(lit(*end)));
            match seek_after(*partition) {
                // What is read after it is new, whatever its offset.
                Some(seek) => had.and(column(EPOCH_COLUMN).lt_eq(lit(seek))),
                None => had,
            }
        });
        match disjunction(had) {
            Some(had) => later.and(Expr::Not(Box::new(had))),
            None => later,
        }
    }
}

/// Moves the end of a partition up.
fn reach(ends: &mut BTreeMap<i32, i64>, reached: Option<(i32, i64)>) {
    if let Some((partition, offset)) = reached {
        let end = ends.entry(partition).or_insert(offset);
        *end = (*end).max(offset);
    }
}

/// The rows of a snapshot that a reader has not had; the columns are the table's.
#[derive(Debug)]
pub struct NewRows {
    snapshot: Arc<StreamSnapshot>,
    since: Cursor,
}

impl NewRows {
    /// Of a reader who came so far.
    pub fn new(snapshot: Arc<StreamSnapshot>, since: Cursor) -> Self {
        Self { snapshot, since }
    }

    /// Where the reader stands when he has had these rows.
    pub fn end(&self) -> Cursor {
        self.since.after(&self.snapshot)
    }

    fn plan<'a>(
        &'a self,
        state: &'a dyn Session,
        projection: Option<&'a Vec<usize>>,
        filters: &'a [Expr],
        _limit: Option<usize>,
    ) -> BoxFuture<'a, Result<Arc<dyn ExecutionPlan>>> {
        Box::pin(async move {
            let physical = self.snapshot.table().physical();
            let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect());
            let mut columns = wanted.clone();
            for name in [PARTITION_COLUMN, OFFSET_COLUMN, EPOCH_COLUMN] {
                columns.push(physical.index_of(name)?);
            }
            let is_new = self.since.is_new(|partition| self.snapshot.seek_after(self.since.epoch, partition));
            let filters: Vec<Expr> = filters.iter().cloned().chain([is_new.clone()]).collect();
            let rows = self.snapshot.plan_of(state, columns, &filters, None).await?;
            let is_new = state.create_physical_expr(is_new, &DFSchema::try_from(rows.schema())?)?;
            let rows: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(is_new, rows)?);
            let schema = rows.schema();
            let columns = (0..wanted.len()).map(|place| {
                let name = schema.field(place).name().clone();
                (Arc::new(Column::new(&name, place)) as _, name)
            });
            Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), rows)?) as _)
        })
    }
}

impl TableProvider for NewRows {
    fn schema(&self) -> SchemaRef {
        self.snapshot.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    scan_by_plan!();

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.snapshot.supports_filters_pushdown(filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(epoch: i64, hot: &[(i32, i64)], committed: &[(i32, i64)]) -> Cursor {
        Cursor { epoch, hot: hot.iter().copied().collect(), committed: committed.iter().copied().collect() }
    }

    #[test]
    fn hot_rows_are_remembered_until_the_commits_have_them_or_somebody_seeks() {
        let before = cursor(4, &[(0, 100), (1, 60)], &[(0, 60), (1, 50)]);
        let cases = [
            // More rows arrived, nothing was committed.
            (cursor(4, &[(0, 120), (1, 70)], &[(0, 60), (1, 50)]), None, vec![(0, 120), (1, 70)]),
            // All of them are committed, others are hot.
            (cursor(5, &[(1, 140)], &[(0, 120), (1, 70)]), None, vec![(1, 140)]),
            // The source began again: its hot tail is empty, the rows will come once more.
            (cursor(4, &[], &[(0, 60), (1, 50)]), None, vec![(0, 100), (1, 60)]),
            // The commit that follows ends in the middle of what was hot.
            (cursor(5, &[(0, 90)], &[(0, 80), (1, 60)]), None, vec![(0, 100)]),
            // A SEEK back, or in a topic that was made anew: low offsets are new rows; the other partition goes on.
            (cursor(6, &[(0, 3)], &[(0, 1), (1, 50)]), Some(0), vec![(0, 3), (1, 60)]),
        ];
        for (next, sought, hot) in cases {
            let then = before.then(next.clone(), |partition| sought == Some(partition));
            assert_eq!(then, Cursor { hot: hot.into_iter().collect(), ..next.clone() }, "{next:?}");
        }
    }

    #[test]
    fn new_rows_are_of_later_commits_and_were_not_hot() {
        assert_eq!(cursor(7, &[], &[]).is_new(|_| Some(9)).to_string(), "_weir_epoch > Int64(7)");
        let both = cursor(7, &[(0, 10), (3, 5)], &[]);
        assert_eq!(
            both.is_new(|partition| (partition == 3).then_some(9)).to_string(),
            "_weir_epoch > Int64(7) AND NOT _kafka_partition = Int32(0) AND _kafka_offset < Int64(10) OR _kafka_partition = Int32(3) AND \
             _kafka_offset < Int64(5) AND _weir_epoch <= Int64(9)"
        );
    }
}
