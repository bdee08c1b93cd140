//! Common tables of the query around an `ML.` function: its rows may be read from them.
//!
//! ```text
//! WITH a AS (..), b AS (.. a ..)                       the input, which is planned by itself, becomes
//! SELECT * FROM ML.PREDICT(MODEL m, TABLE b)    ──►    WITH a AS (..), b AS (.. a ..) (SELECT * FROM b)
//! ```

use crate::engine::{errors, names};
use crate::error::Result;
use crate::parser::{ML_STAND_IN, MlCall, QueryStatement, query_of};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{Cte, ObjectName, ObjectNamePart, Query, SetExpr, TableFactor, Visit, VisitMut, Visitor, VisitorMut, With};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The name by which a query inside another one knows a call of that one.
pub fn outer_name(name: &str) -> String {
    name.replacen(ML_STAND_IN, &format!("{ML_STAND_IN}_"), 1)
}

/// Takes the names away under which calls stand in a query from those of its columns: `min(__weir_ml_0.price)` is `min(price)`,
/// if there is no other column of that name.
pub fn with_readable_names(plan: LogicalPlan) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let names: Vec<String> = schema.fields().iter().map(|field| errors::without_stand_ins(field.name())).collect();
    let is_taken = |name: &String| names.iter().filter(|other| *other == name).count() > 1;
    if names.iter().zip(schema.fields()).all(|(name, field)| name == field.name()) {
        return Ok(plan);
    }
    let columns = schema.columns().into_iter().zip(&names).map(|(column, name)| match *name == column.name || is_taken(name) {
        true => Expr::Column(column),
        false => Expr::Column(column).alias(name),
    });
    let columns: Vec<Expr> = columns.collect();
    LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(errors::from_datafusion)
}

/// The call `number` of a statement; its input has the common tables with it that it reads of the queries around.
pub fn with_common_tables(statement: &QueryStatement, number: usize, call: &MlCall) -> MlCall {
    let mut call = call.clone();
    if let Some(input) = &mut call.input {
        let mut visible = Visible::default();
        visible.at(&statement.query, &format!("{ML_STAND_IN}{number}"));
        let (recursive, cte_tables) = (visible.recursive, read_by(&input.query, visible.tables));
        if !cte_tables.is_empty() {
            let with = Some(With { with_token: AttachedToken::empty(), recursive, cte_tables });
            // As the body of another query: what the input itself calls by these names comes first.
            *input.query = Query { with, ..query_of(SetExpr::Query(input.query.clone())) };
            input.n_parameters = statement.n_parameters;
        }
    }
    call
}

/// The common tables in sight where a relation stands, outermost first, and whether they may read themselves.
#[derive(Default)]
struct Visible {
    tables: Vec<Cte>,
    recursive: bool,
}

impl Visible {
    /// `query` has the relation somewhere.
    fn at(&mut self, query: &Query, relation: &str) {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            if has(&table.query, relation) {
                // Those before it are in sight, those after it are not.
                return self.at(&table.query, relation);
            }
            self.tables.push(table.clone());
        }
        self.recursive |= query.with.as_ref().is_some_and(|with| with.recursive);
        let _ = query.body.visit(&mut Inside { visible: self, relation });
    }
}

/// Finds the query inside another one that has a relation.
struct Inside<'a> {
    visible: &'a mut Visible,
    relation: &'a str,
}

impl Visitor for Inside<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !has(query, self.relation) {
            return ControlFlow::Continue(());
        }
        self.visible.at(query, self.relation);
        ControlFlow::Break(())
    }
}

fn has(query: &Query, relation: &str) -> bool {
    names::relations(query).iter().any(|name| bare(name).as_deref() == Some(relation))
}

/// A name of one part, in lower case.
fn bare(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident.value.to_lowercase()),
        _ => None,
    }
}

/// The common tables that a query reads, and those that these read, in their order; the innermost of a name.
fn read_by(query: &Query, visible: Vec<Cte>) -> Vec<Cte> {
    let read = |query: &Query| names::relations(query).iter().filter_map(bare).collect::<BTreeSet<String>>();
    let mut wanted = read(query);
    for own in query.with.iter().flat_map(|with| &with.cte_tables) {
        wanted.remove(&own.alias.name.value.to_lowercase());
    }
    let mut needed = Vec::new();
    for mut table in visible.into_iter().rev() {
        if wanted.remove(&table.alias.name.value.to_lowercase()) {
            wanted.extend(read(&table.query));
            let _ = VisitMut::visit(&mut table.query, &mut Outer);
            needed.push(table);
        }
    }
    needed.reverse();
    needed
}

/// Gives calls the names by which the input knows them.
struct Outer;

impl VisitorMut for Outer {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
            && ident.value.starts_with(ML_STAND_IN)
        {
            ident.value = outer_name(&ident.value);
        }
        ControlFlow::Continue(())
    }
}
