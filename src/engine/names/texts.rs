//! Columns that are computed: named by their text, as DuckDB, ClickHouse and MySQL name them.
//!
//! The engine would name `SELECT count(*) > 0, sum(a)` after its plan: `count(*) > Int64(0)`, `sum(t.a)`.

use sqlparser::ast::{Expr, Function, Ident, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr};

/// `SELECT sum(a) / 2` becomes `SELECT sum(a) / 2 AS "sum(a) / 2"`.
pub(super) fn name(select: &mut Select) {
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if is_column(expr) || may_be_many(expr) {
            continue;
        }
        let mut text = &*expr;
        while let Expr::Nested(inner) = text {
            text = inner;
        }
        let alias = Ident::with_quote('"', text.to_string());
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// `SELECT DISTINCT a + 1 .. ORDER BY a + 1` sorts by the column of the list, which the engine does not see by itself.
pub(super) fn sort_distinct(query: &mut Query) {
    let SetExpr::Select(select) = &*query.body else { return };
    let (Some(_), Some(order_by)) = (&select.distinct, &mut query.order_by) else { return };
    let OrderByKind::Expressions(sorted) = &mut order_by.kind else { return };
    for by in sorted {
        let named = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == by.expr && !is_column(expr) => Some(alias),
            _ => None,
        });
        if let Some(alias) = named {
            by.expr = Expr::Identifier(alias.clone());
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => true,
        Expr::Nested(inner) => is_column(inner),
        _ => false,
    }
}

/// `unnest` of a struct gives a column for each field.
fn may_be_many(expr: &Expr) -> bool {
    let Expr::Function(Function { name, .. }) = expr else { return false };
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value.eq_ignore_ascii_case("unnest"))
}
