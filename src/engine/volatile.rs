//! What is computed anew by every call stays where the query has it: below the filters on it, above the others.
//!
//! The engine (55.2) puts a filter below a `ProjectionExec` with the column's expression in its place, also one that is
//! volatile: of `SELECT .. FROM (SELECT random() AS r FROM t ..) WHERE r < 0.5` the filter drew other numbers than the query showed. And it puts a
//! narrow projection below the filter or the sort that it stands on: a model was asked about rows that other filters leave out, and
//! again about those that are left. Its rules for logical plans know better, but for volatile columns of GROUP BY. While its rules for filters look at a plan, such
//! projections stand below a node that lets only those pass which read other columns; for projections they are that node.
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
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, replace_children_if_necessary};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// The engine's own rules, those guarded that move filters or projections.
pub(super) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let guard = |rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>| {
        // There is one for static and one for dynamic filters.
        if rule.name().starts_with("FilterPushdown") {
            return Arc::new(Guarded { rule, shows: Shows::Projection }) as _;
        }
        if rule.name() == "ProjectionPushdown" {
            return Arc::new(Guarded { rule, shows: Shows::Input }) as _;
        }
        rule
    };
    PhysicalOptimizer::new().rules.into_iter().map(guard).collect()
}

/// A rule that cannot move volatile columns.
#[derive(Debug)]
struct Guarded {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
    shows: Shows,
}

/// What a rule sees below a [`Volatile`].
#[derive(Debug, Clone, Copy)]
enum Shows {
    /// The projection, for filters to be put below it.
    Projection,
    /// Its input: the projection is out of sight.
    Input,
}

impl PhysicalOptimizerRule for Guarded {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let hidden = plan.transform_up(|plan| {
            let Some(projection) = plan.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(plan)) };
            let expressions = projection.expr().iter().map(|column| &column.expr).enumerate();
            let stable: HashSet<usize> = expressions.filter(|(_, expression)| !is_volatile(expression)).map(|(place, _)| place).collect();
            Ok(match stable.len() == projection.expr().len() {
                true => Transformed::no(plan),
                false => Transformed::yes(Arc::new(Volatile { stable, projection: plan, shows: self.shows }) as _),
            })
        })?;
        let optimised = self.rule.optimize(hidden.data, config)?;
        if !hidden.transformed {
            return Ok(optimised);
        }
        let shown = optimised.transform_up(|plan| {
            Ok(match plan.downcast_ref::<Volatile>() {
                Some(volatile) => Transformed::yes(Arc::clone(&volatile.projection)),
                None => Transformed::no(plan),
            })
        })?;
        Ok(shown.data)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// A projection, some of whose columns are volatile.
#[derive(Debug)]
struct Volatile {
    /// The places of those that are not.
    stable: HashSet<usize>,
    projection: Arc<dyn ExecutionPlan>,
    shows: Shows,
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
        self.projection.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        match self.shows {
            Shows::Projection => vec![&self.projection],
            Shows::Input => self.projection.children(),
        }
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
        let projection = match (self.shows, children.as_slice()) {
            (Shows::Projection, [projection]) => Arc::clone(projection),
            _ => replace_children_if_necessary(Arc::clone(&self.projection), children)?,
        };
        Ok(Arc::new(Self { stable: self.stable.clone(), projection, shows: self.shows }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.projection.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let child = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, self.stable.clone(), &self.projection)?;
        Ok(FilterDescription::new().with_child(child))
    }
}
