//! `ORDER BY 2` over a grouped query: the engine looks the column up by its generated name and does not find it
//! when the expression has no alias. The number is replaced by the expression itself.

use sqlparser::ast::{Expr, GroupByExpr, OrderByKind, Query, SelectItem, SetExpr, Value};

/// Replaces the ordinals of ORDER BY that name expressions without an alias.
pub(super) fn expand(query: &mut Query) {
    let (Some(order_by), SetExpr::Select(select)) = (&mut query.order_by, query.body.as_ref()) else { return };
    let is_grouped = match &select.group_by {
        GroupByExpr::Expressions(expressions, _) => !expressions.is_empty(),
        GroupByExpr::All(_) => true,
    };
    let OrderByKind::Expressions(orders) = &mut order_by.kind else { return };
    if !is_grouped || select.distinct.is_some() {
        return;
    }
    for order in orders {
        let Some(item_idx) = ordinal(&order.expr).and_then(|number| number.checked_sub(1)) else { continue };
        // A star moves the positions behind it.
        let is_plain = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
        if !select.projection.iter().take(item_idx).all(is_plain) {
            continue;
        }
        if let Some(SelectItem::UnnamedExpr(expr)) = select.projection.get(item_idx)
            && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
        {
            order.expr = expr.clone();
        }
    }
}

fn ordinal(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
