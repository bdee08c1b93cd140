//! Columns taken out of structs: named by their field, as PostgreSQL, BigQuery, Spark and DuckDB name them.

use super::scope::Scope;
use sqlparser::ast::{AccessExpr, Expr, Ident, Select, SelectItem, Subscript, Value};
use std::collections::BTreeMap;

/// `SELECT r.item, probs[1].prob` becomes `SELECT r.item AS item, probs[1].prob AS prob`.
pub(super) fn name(select: &mut Select, scope: &Scope) {
    let names = names(select, scope);
    for (item, name) in select.projection.iter_mut().zip(names) {
        if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&*item, name) {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
    }
}

/// For each item of a select list the name that a field gives it. Nothing else in the list may be called so, whatever its case, nor
/// a column of the tables, which ORDER BY would not find any more; beside a star nobody knows.
pub(super) fn names(select: &Select, scope: &Scope) -> Vec<Option<String>> {
    let mut outputs = Vec::with_capacity(select.projection.len());
    let mut n_named: BTreeMap<String, usize> = BTreeMap::new();
    for item in &select.projection {
        let (name, is_field) = match item {
            SelectItem::UnnamedExpr(expr) => match field(expr, scope) {
                Some(field) => (field, true),
                None => (plain_name(expr), false),
            },
            SelectItem::ExprWithAlias { alias, .. } => (alias.value.clone(), false),
            _ => return vec![None; select.projection.len()],
        };
        *n_named.entry(name.to_lowercase()).or_default() += 1;
        outputs.push((name, is_field));
    }
    let is_free = |name: &str| n_named.get(&name.to_lowercase()) == Some(&1) && !scope.may_have(name);
    outputs.into_iter().map(|(name, is_field)| Some(name).filter(|name| is_field && is_free(name))).collect()
}

fn plain_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |ident| ident.value.clone()),
        other => other.to_string(),
    }
}

/// The field that `r.field`, `x[1].field` or `x['field']` takes.
fn field(expr: &Expr, scope: &Scope) -> Option<String> {
    let access_chain = match expr {
        Expr::CompoundIdentifier(parts) => return scope.field(parts),
        Expr::CompoundFieldAccess { access_chain, .. } => access_chain,
        _ => return None,
    };
    let key = match access_chain.last()? {
        AccessExpr::Dot(key) | AccessExpr::Subscript(Subscript::Index { index: key }) => key,
        AccessExpr::Subscript(_) => return None,
    };
    match key {
        Expr::Identifier(field) => Some(field.value.clone()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(field) => Some(field.clone()),
            _ => None,
        },
        _ => None,
    }
}
