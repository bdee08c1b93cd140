//! Columns taken out of structs: named by their field, as PostgreSQL, BigQuery, Spark and DuckDB name them.

use super::scope::Scopes;
use sqlparser::ast::{AccessExpr, Expr, Ident, Select, SelectItem, Subscript, Value};
use std::collections::BTreeMap;

/// `SELECT r.item, probs[1].prob` becomes `SELECT r.item AS item, probs[1].prob AS prob`, where nothing else in the list is
/// called so; beside a star nobody knows.
pub(super) fn name(select: &mut Select, scopes: &Scopes<'_>) {
    let mut n_named: BTreeMap<String, usize> = BTreeMap::new();
    for item in &select.projection {
        let name = match item {
            SelectItem::UnnamedExpr(expr) => output_name(expr),
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            _ => return,
        };
        *n_named.entry(name).or_default() += 1;
    }
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let is_field = match &*expr {
            Expr::CompoundIdentifier(parts) => scopes.is_field(parts),
            other => field_of(other).is_some(),
        };
        let name = output_name(expr);
        if is_field && n_named.get(&name) == Some(&1) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}

fn output_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |ident| ident.value.clone()),
        other => field_of(other).map_or_else(|| other.to_string(), str::to_owned),
    }
}

/// The field that `x[1].field` or `x['field']` takes.
pub(super) fn field_of(expr: &Expr) -> Option<&str> {
    let Expr::CompoundFieldAccess { access_chain, .. } = expr else { return None };
    let key = match access_chain.last()? {
        AccessExpr::Dot(key) | AccessExpr::Subscript(Subscript::Index { index: key }) => key,
        AccessExpr::Subscript(_) => return None,
    };
    match key {
        Expr::Identifier(field) => Some(&field.value),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(field) => Some(field),
            _ => None,
        },
        _ => None,
    }
}
