//! Columns that a SELECT repeats: the engine refuses them, so the later ones get a number.

use super::scope::Scope;
use super::texts::unnested;
use sqlparser::ast::{Expr, Ident, Select, SelectItem};
use std::collections::BTreeSet;

/// `SELECT a, a` becomes `SELECT a, a AS a_1`, as DuckDB names them; so do `SELECT a, t.a` and `SELECT *, a`. A name given
/// with AS is kept: `SELECT a AS b, b` becomes `SELECT a AS b, b AS b_1`. Two equal names given with AS stay an error.
pub(super) fn number(select: &mut Select, scope: &Scope) {
    // What AS names, and what a star brings, cannot get another name.
    let (mut given, mut seen) = (BTreeSet::new(), BTreeSet::new());
    // Of columns, not of what is computed.
    let mut columns = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for item in &select.projection {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => drop(given.insert(alias.value.clone())),
            SelectItem::UnnamedExpr(expr) => match column_name(expr) {
                Some(name) => drop(columns.insert(name.to_owned())),
                None => drop(taken.insert(unnested(expr).to_string())),
            },
            star => {
                for (relation, column) in scope.star(star) {
                    seen.insert(qualified(&relation, &column));
                    columns.insert(column);
                }
            }
        }
    }
    taken.extend(given.iter().chain(&columns).cloned());
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let text = unnested(expr).to_string();
        let (name, is_clash) = match column_name(expr) {
            Some(name) => {
                let place = scope.place(unnested(expr)).map(|(relation, column)| qualified(&relation, &column));
                (name.to_owned(), !seen.insert(place.unwrap_or(text)) || given.contains(name))
            }
            None => (text.clone(), !seen.insert(text.clone()) || given.contains(&text) || columns.contains(&text)),
        };
        if !is_clash {
            continue;
        }
        let free = (1..).map(|number| format!("{name}_{number}")).find(|name| taken.insert(name.clone()));
        let alias = Ident::with_quote('"', free.unwrap_or(name));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
    }
}

/// Of equal expressions in `DISTINCT ON (..)` the first stays: the engine counts the others as columns.
pub(super) fn keep_first(keys: &mut Vec<Expr>) {
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(unnested(key).to_string()));
}

/// No text of an expression has a zero in it.
fn qualified(relation: &str, column: &str) -> String {
    format!("{relation}\0{column}")
}

fn column_name(expr: &Expr) -> Option<&str> {
    match unnested(expr) {
        Expr::Identifier(ident) => Some(&ident.value),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.as_str()),
        _ => None,
    }
}
