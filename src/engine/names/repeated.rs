//! Columns that a SELECT repeats: the engine refuses them, so the later ones get a number.

use sqlparser::ast::{Expr, Ident, Select, SelectItem};
use std::collections::BTreeSet;

/// `SELECT a, a` becomes `SELECT a, a AS a_1`, as DuckDB names them. Two equal names given with AS stay an error.
pub(super) fn number(select: &mut Select) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            taken.insert(alias.value.clone());
        }
    }
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        if taken.insert(expr.to_string()) {
            continue;
        }
        let base = match &*expr {
            Expr::Identifier(ident) => ident.value.clone(),
            Expr::CompoundIdentifier(parts) => parts.last().map_or_else(String::new, |ident| ident.value.clone()),
            other => other.to_string(),
        };
        let free = (1..).map(|number| format!("{base}_{number}")).find(|name| taken.insert(name.clone()));
        let alias = Ident::with_quote('"', free.unwrap_or(base));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}
