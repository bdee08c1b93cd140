//! From the plan of a query to the plan of its new rows: what streaming tables brought since somebody read them.
//!
//! Filters and projections of new rows are the new rows of filters and projections. A join with tables at rest has new
//! rows where the stream has; a UNION ALL those of its parts. What looks at many rows at once (GROUP BY, DISTINCT, a
//! window, LIMIT) has no new rows of its own: old answers change.

use crate::engine::errors;
use crate::error::{Code, Error, Result};
use crate::tables::streaming::{NewRows, StreamSnapshot};
use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder, Union};
use std::any::Any;

/// The plan of a query's new rows; `plan` is analysed, so that each part of a UNION ALL has the types of the whole. Run it with streaming tables that give their new rows only ([`NewRows`]). `None` when the
/// query has none, or only where its rows are not told (a model's input, dead letters).
///
/// # Errors
/// `NotSupported` with what stands in the way.
pub fn of(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::TableScan(_) => Ok(is_stream(plan).then(|| plan.clone())),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => of(&sort.input),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Unnest(_) => {
            check_conditions(plan)?;
            let input = plan.inputs().first().copied().map_or(Ok(None), of)?;
            input.map(|input| with_inputs(plan, vec![input])).transpose()
        }
        LogicalPlan::Union(union) => of_union(union),
        LogicalPlan::Join(join) => of_join(plan, join),
        _ if !reads_streams(plan) => Ok(None),
        LogicalPlan::Aggregate(_) => Err(in_the_way("a GROUP BY or an aggregate over a streaming table")),
        LogicalPlan::Distinct(_) => Err(in_the_way("a DISTINCT or a UNION without ALL over a streaming table")),
        LogicalPlan::Window(_) => Err(in_the_way("a window function over a streaming table")),
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => Err(in_the_way("a LIMIT over a streaming table")),
        _ => Err(in_the_way("an operator over a streaming table that looks at many rows at once")),
    }
}

/// Whether the plan scans a streaming table, sub-queries and all.
pub fn reads_streams(plan: &LogicalPlan) -> bool {
    // The closure does not fail.
    plan.apply_with_subqueries(|plan| Ok(if is_stream(plan) { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue }))
        .is_ok_and(|end| end == TreeNodeRecursion::Stop)
}

fn is_stream(plan: &LogicalPlan) -> bool {
    let LogicalPlan::TableScan(scan) = plan else { return false };
    source_as_provider(&scan.source).is_ok_and(|provider| {
        let provider: &dyn Any = provider.as_ref();
        provider.is::<StreamSnapshot>() || provider.is::<NewRows>()
    })
}

/// The parts with new rows. Those without go: their rows are old.
fn of_union(union: &Union) -> Result<Option<LogicalPlan>> {
    let mut new: Option<LogicalPlanBuilder> = None;
    for input in &union.inputs {
        let Some(part) = of(input)? else { continue };
        // The names are those of the first part, which may be one that goes.
        let names = part.schema().columns().into_iter().zip(union.schema.fields());
        let columns: Vec<Expr> = names.map(|(column, field)| Expr::Column(column).alias(field.name())).collect();
        let part = LogicalPlanBuilder::from(part).project(columns).map_err(errors::from_datafusion)?;
        new = Some(match new {
            None => part,
            Some(before) => before.union(part.build().map_err(errors::from_datafusion)?).map_err(errors::from_datafusion)?,
        });
    }
    new.map(|new| new.build().map_err(errors::from_datafusion)).transpose()
}

/// A row of the stream finds its partners at rest whenever it comes. A row at rest that was kept without a partner would
/// have to be taken back.
fn of_join(plan: &LogicalPlan, join: &Join) -> Result<Option<LogicalPlan>> {
    check_conditions(plan)?;
    let keeps = match (reads_streams(&join.left), reads_streams(&join.right)) {
        (false, false) => return Ok(None),
        (true, true) => return Err(in_the_way("a join of streaming tables")),
        (true, false) => {
            matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
        }
        (false, true) => {
            matches!(join.join_type, JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
        }
    };
    if !keeps {
        return Err(in_the_way("a join that keeps rows at rest without a partner in a streaming table"));
    }
    let side = |input: &LogicalPlan| of(input).map(|new| new.unwrap_or_else(|| input.clone()));
    with_inputs(plan, vec![side(&join.left)?, side(&join.right)?]).map(Some)
}

/// A condition over a stream would have been true or false for rows that are old now.
fn check_conditions(plan: &LogicalPlan) -> Result<()> {
    let mut reads = false;
    // The closure does not fail.
    let _ = plan.apply_subqueries(|subquery| {
        reads |= reads_streams(subquery);
        Ok(TreeNodeRecursion::Continue)
    });
    if reads { Err(in_the_way("a sub-query over a streaming table in a condition or a column")) } else { Ok(()) }
}

fn with_inputs(plan: &LogicalPlan, inputs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
    plan.with_new_exprs(plan.expressions(), inputs).map_err(errors::from_datafusion)
}

fn in_the_way(what: &str) -> Error {
    Error::new(Code::NotSupported, format!("there is {what}"))
}
