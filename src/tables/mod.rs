//! Tables as the query engine sees them: Hive directories, managed Parquet + Delta log, streams above those.

/// `TableProvider::scan` by a boxed function `plan` of the type, without `async_trait`: its clauses keep the compiler from
/// remembering what it proved of the arguments (ARCHITECTURE.md).
macro_rules! scan_by_plan {
    () => {
        fn scan<'life0, 'life1, 'life2, 'life3, 'async_trait>(
            &'life0 self,
            state: &'life1 dyn datafusion::catalog::Session,
            projection: Option<&'life2 Vec<usize>>,
            filters: &'life3 [datafusion::logical_expr::Expr],
            limit: Option<usize>,
        ) -> futures::future::BoxFuture<
            'async_trait,
            datafusion::common::Result<std::sync::Arc<dyn datafusion::physical_plan::ExecutionPlan>>,
        >
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            'life2: 'async_trait,
            'life3: 'async_trait,
            Self: 'async_trait,
        {
            self.plan(state, projection, filters, limit)
        }
    };
}

pub mod hive;
pub mod managed;
pub mod options;
pub mod streaming;

/// What an INSERT replaces.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteMode {
    /// INSERT INTO.
    Append,
    /// INSERT OVERWRITE without PARTITION on an unpartitioned table, or of the whole table.
    OverwriteTable,
    /// INSERT OVERWRITE .. PARTITION: replaces each partition that gets rows, and always the partition
    /// that is given entirely by static values (column, value; `None` = NULL).
    OverwritePartitions { fixed: Vec<(String, Option<String>)> },
}
