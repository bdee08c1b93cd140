//! Nested-loop joins without the engine's fallback for little memory, which answers wrongly or breaks.
//!
//! When its left side does not fit, the engine (55.2) runs the left plan a second time to spill it. A plan that can
//! run only once (a repartition) then gives the rest of its rows or none, and outer joins repeat or lose unmatched
//! rows (apache/datafusion #22641, #24676, #24745). The fallback asks for temporary files: the join gets a context
//! without any, its inputs get the real one, so sorts and aggregates below still spill. What does not fit is an error.
//!
//! ```text
//! InMemoryJoin ── context without files ──► NestedLoopJoin ──► RealContext ── real context ──► input
//! ```

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties, replace_children_if_necessary,
};
use std::fmt;
use std::sync::Arc;

/// Runs nested-loop joins in one partition, within memory.
#[derive(Debug)]
pub(super) struct SingleNestedLoopJoin;

impl PhysicalOptimizerRule for SingleNestedLoopJoin {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            if !plan.is::<NestedLoopJoinExec>() {
                return Ok(Transformed::no(plan));
            }
            let children = plan.children().into_iter().map(|child| Wrapper::wrap(Role::RealContext, one_partition(child))).collect();
            let join = replace_children_if_necessary(plan, children)?;
            Ok(Transformed::yes(Wrapper::wrap(Role::InMemoryJoin, join)))
        })
        .map(|transformed| transformed.data)
    }

    fn name(&self) -> &str {
        "single_nested_loop_join"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn one_partition(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    match plan.output_partitioning().partition_count() {
        0 | 1 => Arc::clone(plan),
        _ => Arc::new(CoalescePartitionsExec::new(Arc::clone(plan))),
    }
}

#[derive(Debug, Clone, Copy)]
enum Role {
    InMemoryJoin,
    RealContext,
}

/// A node that only changes the context of what runs below it.
#[derive(Debug)]
struct Wrapper {
    role: Role,
    inner: Arc<dyn ExecutionPlan>,
}

/// The context above an [`Role::InMemoryJoin`], handed down to its inputs.
struct Above(Arc<TaskContext>);

impl Wrapper {
    fn wrap(role: Role, inner: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { role, inner })
    }
}

impl DisplayAs for Wrapper {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Wrapper {
    fn name(&self) -> &str {
        match self.role {
            Role::InMemoryJoin => "InMemoryJoin",
            Role::RealContext => "JoinInput",
        }
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
        Ok(Self::wrap(self.role, inner))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let context = match self.role {
            Role::InMemoryJoin => without_files(context)?,
            Role::RealContext => match context.session_config().get_extension::<Above>() {
                Some(above) => Arc::clone(&above.0),
                None => context,
            },
        };
        self.inner.execute(partition, context)
    }
}

fn without_files(above: Arc<TaskContext>) -> Result<Arc<TaskContext>> {
    let runtime = RuntimeEnvBuilder::from_runtime_env(&above.runtime_env())
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let config = above.session_config().clone().with_extension(Arc::new(Above(Arc::clone(&above))));
    Ok(Arc::new(TaskContext::new(
        above.task_id(),
        above.session_id(),
        config,
        above.scalar_functions().clone(),
        above.higher_order_functions().clone(),
        above.aggregate_functions().clone(),
        above.window_functions().clone(),
        runtime,
    )))
}
