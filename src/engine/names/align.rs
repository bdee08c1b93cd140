//! USING and NATURAL over columns that the two sides spell differently.
//!
//! The planner joins them by exact names, and a NATURAL join without common names is silently a cross join.
//! So the right side is wrapped: `JOIN orders USING (userid)` becomes
//! `JOIN (SELECT "USERID" AS "userId", .. FROM orders) AS orders USING ("userId")`.

use super::scope::{Column, Scopes, spelling};
use crate::error::Result;
use sqlparser::ast::{
    Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart, Query, SelectItem, SetExpr, Statement, TableAlias, TableFactor,
    TableWithJoins,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

/// Gives the columns that joins share one spelling: that of the leftmost table.
pub(super) fn joins(scopes: &mut Scopes<'_>, table: &mut TableWithJoins) -> Result<()> {
    let mut left = columns(scopes, &table.relation).0;
    for join in &mut table.joins {
        let (right, is_open) = columns(scopes, &join.relation);
        let renames = match constraint(&mut join.join_operator) {
            Some(JoinConstraint::Using(names)) => {
                let mut renames = Vec::new();
                for ident in names.iter_mut().filter_map(|name| name.0.last_mut()) {
                    let ObjectNamePart::Identifier(ident) = ident else { continue };
                    let ours = spelling(&left, &ident.value)?.map(|column| column.name.clone());
                    let theirs = spelling(&right, &ident.value)?.map(|column| column.name.clone());
                    match (ours, theirs) {
                        (Some(ours), Some(theirs)) => {
                            ident.value.clone_from(&ours);
                            renames.push((theirs, ours));
                        }
                        (Some(one), None) | (None, Some(one)) => ident.value = one,
                        (None, None) => {}
                    }
                }
                renames
            }
            Some(JoinConstraint::Natural) => {
                let mut renames = Vec::new();
                for column in &right {
                    if let Some(ours) = spelling(&left, &column.name)? {
                        renames.push((column.name.clone(), ours.name.clone()));
                    }
                }
                renames
            }
            _ => Vec::new(),
        };
        if !is_open && renames.iter().any(|(theirs, ours)| theirs != ours) {
            wrap(join, &right, &renames);
        }
        left.extend(columns(scopes, &join.relation).0);
    }
    Ok(())
}

fn columns(scopes: &mut Scopes<'_>, factor: &TableFactor) -> (Vec<Column>, bool) {
    let mut relations = Vec::new();
    scopes.relation(factor, &mut relations);
    let is_open = relations.iter().any(|(_, columns)| columns.is_open());
    (relations.into_iter().flat_map(|(_, columns)| columns.list).collect(), is_open)
}

/// Puts a subquery with the new names in the place of the joined relation, under its name.
fn wrap(join: &mut Join, columns: &[Column], renames: &[(String, String)]) {
    let name = match &join.relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => alias.name.clone(),
        TableFactor::Table { name, alias: None, .. } => match super::last_part(name) {
            Some(name) => Ident::new(name),
            None => return,
        },
        _ => return,
    };
    let Some(mut query) = template() else { return };
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let Some(from) = select.from.first_mut() else { return };
    std::mem::swap(&mut from.relation, &mut join.relation);
    select.projection = columns
        .iter()
        .map(|column| {
            let expr = sqlparser::ast::Expr::Identifier(Ident::with_quote('"', &column.name));
            let new = renames.iter().find(|(theirs, _)| *theirs == column.name).map_or(&column.name, |(_, ours)| ours);
            SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', new) }
        })
        .collect();
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    join.relation = TableFactor::Derived { lateral: false, subquery: query, alias: Some(alias), sample: None };
}

fn template() -> Option<Box<Query>> {
    match Parser::parse_sql(&GenericDialect {}, "SELECT 1 FROM t").ok()?.pop()? {
        Statement::Query(query) => Some(query),
        _ => None,
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    use JoinOperator as J;
    match operator {
        J::Join(constraint)
        | J::Inner(constraint)
        | J::Left(constraint)
        | J::LeftOuter(constraint)
        | J::Right(constraint)
        | J::RightOuter(constraint)
        | J::FullOuter(constraint)
        | J::LeftSemi(constraint)
        | J::Semi(constraint)
        | J::Anti(constraint)
        | J::LeftAnti(constraint)
        | J::RightSemi(constraint)
        | J::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}
