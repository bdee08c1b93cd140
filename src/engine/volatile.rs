//! Filters stay above the columns that they are about, when those are computed anew by every call.
//!
//! The engine (55.2) puts a filter below a `ProjectionExec` with the column's expression in its place, also one that is
//! volatile: of `SELECT .. FROM (SELECT random() AS r FROM t ..) WHERE r < 0.5` the filter drew other numbers than the query showed, and a
//! model was asked about rows that other filters leave out, and again about those that are left. Its rules for logical plans know
//! better. While filters are put down, such projections stand below a node that lets only those pass which read other columns.
//!
//! ```text
//! FilterExec: r < 0.5 AND id > 3                 FilterExec: r < 0.5
//!   Volatile                                ──►    ProjectionExec: random() AS r, id
//!     ProjectionExec: random() AS r, id              FilterExec: id > 3
//! ```

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// The name of the engine's rules that put filters down; there is one for static and one for dynamic filters.
const PUSHDOWN: &str = "FilterPushdown";

/// The engine's own rules, those that put filters down guarded.
pub(super) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let guard = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| match rule.name().starts_with(PUSHDOWN) {
        true => Arc::new(Guarded(rule)) as _,
        false => rule,
    };
    PhysicalOptimizer::new().rules.into_iter().map(guard).collect()
}

/// A rule that sees no volatile column.
#[derive(Debug)]
struct Guarded(Arc<dyn PhysicalOptimizerRule + Send + Sync>);

impl PhysicalOptimizerRule for Guarded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let hidden = plan.transform_up(|plan| {
            let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(plan)) };
            let expressions = projection.expr().iter().map(|column| &column.expr).enumerate();
            let stable: HashSet<usize> = expressions.filter(|(_, expression)| !is_volatile(expression)).map(|(place, _)| place).collect();
            Ok(match stable.len() == projection.expr().len() {
                true => Transformed::no(plan),
                false => Transformed::yes(Arc::new(Volatile { stable, inner: plan }) as _),
            })
        })?;
        let optimised = self.0.optimize(hidden.data, config)?;
        if !hidden.transformed {
            return Ok(optimised);
        }
        let shown = optimised.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Volatile>() {
                Some(volatile) => Transformed::yes(Arc::clone(&volatile.inner)),
                None => Transformed::no(plan),
            })
        })?;
        Ok(shown.data)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// A projection, some of whose columns are volatile.
#[derive(Debug)]
struct Volatile {
    /// The places of those that are not.
    stable: HashSet<usize>,
    inner: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Volatile {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Volatile {
    fn name(&self) -> &str {
        "Volatile"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(&self, _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { stable: self.stable.clone(), inner }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.inner.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, self.stable.clone(), &self.inner)?;
        Ok(FilterDescription::new().with_child(child))
    }
}
