//! Columns that a SELECT repeats: the engine refuses them, so the later ones get a number.

use super::fields::plain_name;
use super::scope::Scope;
use sqlparser::ast::{Ident, Select, SelectItem};
use std::collections::BTreeSet;

/// `SELECT a, a` becomes `SELECT a, a AS a_1`, as DuckDB names them; so do `SELECT a, t.a` and `SELECT *, a`. Two equal
/// names given with AS stay an error.
pub(super) fn number(select: &mut Select, scope: &Scope) {
    // What a star brings cannot get another name.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => drop(taken.insert(alias.value.clone())),
            SelectItem::UnnamedExpr(expr) => drop(taken.insert(plain_name(expr))),
            star => {
                for (relation, column) in scope.star(star) {
                    seen.insert(qualified(&relation, &column));
                    taken.insert(column);
                }
            }
        }
    }
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let place = scope.place(expr).map(|(relation, column)| qualified(&relation, &column));
        if seen.insert(place.unwrap_or_else(|| expr.to_string())) {
            continue;
        }
        let base = plain_name(expr);
        let free = (1..).map(|number| format!("{base}_{number}")).find(|name| taken.insert(name.clone()));
        let alias = Ident::with_quote('"', free.unwrap_or(base));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// No text of an expression has a zero in it.
fn qualified(relation: &str, column: &str) -> String {
    format!("{relation}\0{column}")
}
