//! Columns that are computed: named by their text, as DuckDB, ClickHouse and MySQL name them.
//!
//! The engine would name `SELECT count(*) > 0, sum(a)` after its plan: `count(*) > Int64(0)`, `sum(t.a)`.

use sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};
use std::ops::ControlFlow;

/// `SELECT sum(a) / 2` becomes `SELECT sum(a) / 2 AS "sum(a) / 2"`, in the query and all inside it. Outer lists first: their
/// texts are those of the user, without the names that inner ones are given.
pub(super) fn name_all(query: &mut Query) {
    struct Namer;
    impl VisitorMut for Namer {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            if let SetExpr::Select(select) = &mut *query.body {
                name(select);
            }
            sort_distinct(query);
            ControlFlow::Continue(())
        }
        fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
            name(select);
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(query, &mut Namer);
}

fn name(select: &mut Select) {
    // The engine groups by the items as they are named, and does not find their expressions among its keys any more.
    if matches!(select.group_by, GroupByExpr::All(_)) {
        return;
    }
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if is_named(expr) || may_be_many(expr) {
            continue;
        }
        let alias = Ident::with_quote('"', unnested(expr).to_string());
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// `SELECT DISTINCT a + 1 .. ORDER BY a + 1` sorts by the column of the list, which the engine does not see by itself.
fn sort_distinct(query: &mut Query) {
    let SetExpr::Select(select) = &*query.body else { return };
    let (Some(_), Some(order_by)) = (&select.distinct, &mut query.order_by) else { return };
    let OrderByKind::Expressions(sorted) = &mut order_by.kind else { return };
    // A number is the place of a column.
    for by in sorted.iter_mut().filter(|by| !matches!(by.expr, Expr::Value(_)) && !is_named(&by.expr)) {
        let named = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == by.expr => Some(alias),
            _ => None,
        });
        if let Some(alias) = named {
            by.expr = Expr::Identifier(alias.clone());
        }
    }
}

/// An expression without brackets around it.
pub(super) fn unnested(mut expr: &Expr) -> &Expr {
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// Columns, and parameters: the type of a bare one is found by its place, where a name hides it.
fn is_named(expr: &Expr) -> bool {
    match unnested(expr) {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => true,
        Expr::Value(value) => matches!(value.value, Value::Placeholder(_)),
        _ => false,
    }
}

/// `unnest` of a struct gives a column for each field.
fn may_be_many(expr: &Expr) -> bool {
    let Expr::Function(Function { name, .. }) = expr else { return false };
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value.eq_ignore_ascii_case("unnest"))
}
