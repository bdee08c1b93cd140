//! An aggregate is ordered by each expression once: a later key on the same one decides nothing.
//!
//! The engine (55.2) keeps the state of `array_agg(a ORDER BY b, b)` and of `SELECT DISTINCT ON (b) .. ORDER BY b, b` with a column
//! per key that was written, and compares by different ones only: it panicked, or found columns missing.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Leaves repeated keys out of ORDER BY in aggregates. Runs after the rules that simplify expressions: `b + 0` is `b` by then.
#[derive(Debug)]
pub(super) struct NoRepeatedKeys;

impl OptimizerRule for NoRepeatedKeys {
    fn name(&self) -> &str {
        "no_repeated_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Aggregate(_)) {
            return Ok(Transformed::no(plan));
        }
        // The keys are in the names of the plan's columns, which are those that other plans read.
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            expr.transform_up(without_repeated).map(|changed| changed.update_data(|expr| name.restore(expr)))
        })
    }
}

fn without_repeated(mut expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::AggregateFunction(function) = &mut expr else { return Ok(Transformed::no(expr)) };
    let keys = &mut function.params.order_by;
    let n_before = keys.len();
    let mut once: Vec<Sort> = Vec::with_capacity(n_before);
    for key in keys.drain(..) {
        if once.iter().all(|earlier| earlier.expr != key.expr) {
            once.push(key);
        }
    }
    *keys = once;
    let is_changed = keys.len() < n_before;
    Ok(if is_changed { Transformed::yes(expr) } else { Transformed::no(expr) })
}
