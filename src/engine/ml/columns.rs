//! The id columns of `recommend(..)` and its kin, which are spelt as the training query had them.

use crate::engine::names::KnownNames;
use crate::models::CatalogLookup;
use sqlparser::ast::{Expr, FunctionArg, FunctionArgExpr, ObjectName, Query, TableFactor, TableFunctionArgs, Value, Visit, Visitor};
use std::ops::ControlFlow;

/// The functions that return items, and that which returns users.
const OF_ITEMS: &[&str] = &["recommend", "recommend_from", "similar_items", "explain_recommendation"];
const OF_USERS: &str = "similar_users";

/// Makes the id columns of the query's table functions known, so that `movieid` finds `movieId`. A model that does not
/// exist is for the planner to name.
pub fn add_functions(known: &mut KnownNames, query: &Query, lookup: &CatalogLookup) {
    let _ = query.visit(&mut Functions { known, lookup });
}

struct Functions<'a> {
    known: &'a mut KnownNames,
    lookup: &'a CatalogLookup,
}

impl Visitor for Functions<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = factor
            && let Some(column) = self.column(name, args)
        {
            self.known.add_function(name, args, &column);
        }
        ControlFlow::Continue(())
    }
}

impl Functions<'_> {
    fn column(&self, name: &ObjectName, args: &TableFunctionArgs) -> Option<String> {
        let function = name.to_string().to_lowercase();
        let of_users = function == OF_USERS;
        if !of_users && !OF_ITEMS.contains(&function.as_str()) {
            return None;
        }
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(model))) = args.args.first()? else { return None };
        let Value::SingleQuotedString(model) = &model.value else { return None };
        let model = self.lookup.recommender_model(model).ok()?;
        let (users, items, _) = model.input_columns();
        Some(if of_users { users } else { items }.to_owned())
    }
}
