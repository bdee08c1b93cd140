//! Names without regard to case: a pass over a query's tree before it is planned.
//!
//! Relations (tables, aliases, common tables) become lower case everywhere. A column becomes the
//! spelling that its table or its alias has; one that is spelt exactly as a known column stays. So `SELECT userId`
//! and `SELECT USERID` both find `userId`, and the result is named as the table names it.
//!
//! | file | what |
//! | --- | --- |
//! | `scope` | what a name can mean in one place of the query |
//! | `ordinal` | ORDER BY by position in grouped queries |
//! | `fields` | names of columns taken out of structs |
//! | `repeated` | numbers for columns that stand twice in a select list |
//! | `texts` | names of computed columns |
//! | `align` | USING and NATURAL over columns that are spelt differently on the two sides |

mod align;
mod fields;
mod ordinal;
mod repeated;
mod scope;
mod texts;
#[cfg(test)]
mod tests;

use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::Schema;
use scope::{Scopes, Tables};
use sqlparser::ast::{
    Distinct, ExceptSelectItem, ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableFactor, TableFunctionArgs, Visit, VisitMut, Visitor, VisitorMut,
    WildcardAdditionalOptions,
};
use std::ops::ControlFlow;

/// The hidden column with the path of the row's file.
pub const FILE_COLUMN: &str = "_file";

/// The tables that a query reads, with their columns.
#[derive(Debug, Default)]
pub struct KnownNames {
    tables: Tables,
}

impl KnownNames {
    /// A table that the query reads, named as the query writes it.
    pub fn add_table(&mut self, name: &ObjectName, schema: &Schema) {
        scope::add_table(&mut self.tables, name, schema);
    }

    /// A table function of which one column is known, as the query calls it.
    pub fn add_function(&mut self, name: &ObjectName, args: &TableFunctionArgs, column: &str) {
        scope::add_function(&mut self.tables, name, args, column);
    }
}

/// True when the query names the hidden column `_file`.
pub fn mentions_file_column(query: &Query) -> bool {
    struct Mentions;
    impl Visitor for Mentions {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let last = match expr {
                Expr::Identifier(ident) => Some(ident),
                Expr::CompoundIdentifier(parts) => parts.last(),
                _ => None,
            };
            match last.is_some_and(|ident| ident.value.eq_ignore_ascii_case(FILE_COLUMN)) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Mentions).is_break()
}

/// The relations that a query reads, each part as written: tables, and common tables of the same query.
pub fn relations(query: &Query) -> Vec<ObjectName> {
    struct Relations(Vec<ObjectName>);
    impl Visitor for Relations {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: None, .. } = factor {
                self.0.push(name.clone());
            }
            ControlFlow::Continue(())
        }
    }
    let mut found = Relations(Vec::new());
    let _ = query.visit(&mut found);
    found.0
}

/// Rewrites every name of the query to the spelling that the planner knows.
pub fn resolve(query: &mut Query, known: &KnownNames) -> Result<()> {
    let hides_file = mentions_file_column(query);
    let mut rewriter = Rewriter { tables: &known.tables, scopes: Scopes::new(&known.tables), hides_file };
    match VisitMut::visit(query, &mut rewriter) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => {
            texts::name_all(query);
            Ok(())
        }
    }
}

struct Rewriter<'a> {
    tables: &'a Tables,
    scopes: Scopes<'a>,
    hides_file: bool,
}

/// Errors are boxed: `ControlFlow` is returned by every step of the walk.
type Step = ControlFlow<Box<Error>>;

fn step(result: Result<()>) -> Step {
    match result {
        Ok(()) => Step::Continue(()),
        Err(error) => Step::Break(Box::new(error)),
    }
}

impl Rewriter<'_> {
    /// `SELECT *, _file` and `SELECT * .. WHERE _file ..`: the star does not bring the hidden column along.
    fn hide_file_in_stars(&self, select: &mut Select) {
        let has_file = |factor: &TableFactor| match factor {
            TableFactor::Table { name, .. } => self.tables.get(&scope::key(name)).is_some_and(|columns| columns.contains(FILE_COLUMN)),
            _ => false,
        };
        let of_tables =
            select.from.iter().any(|table| has_file(&table.relation) || table.joins.iter().any(|join| has_file(&join.relation)));
        if !self.hides_file || !of_tables {
            return;
        }
        for item in &mut select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item
                && options.opt_except.is_none()
                && options.opt_exclude.is_none()
            {
                options.opt_except = Some(ExceptSelectItem { first_element: Ident::new(FILE_COLUMN), additional_elements: Vec::new() });
            }
        }
    }

    /// The columns that a star leaves out or replaces.
    fn spell_star(&self, relation: Option<&str>, options: &mut WildcardAdditionalOptions) -> Result<()> {
        if let Some(pattern) = &options.opt_ilike {
            // The planner would pass over it.
            return Err(Error::new(Code::NotSupported, format!("SELECT * {pattern} is not supported")).hint("Name the columns."));
        }
        let mut idents: Vec<&mut Ident> = Vec::new();
        if let Some(except) = &mut options.opt_except {
            idents.push(&mut except.first_element);
            idents.extend(&mut except.additional_elements);
        }
        match &mut options.opt_exclude {
            Some(ExcludeSelectItem::Single(name)) => idents.extend(name.0.last_mut().and_then(ident_of)),
            Some(ExcludeSelectItem::Multiple(names)) => {
                idents.extend(names.iter_mut().filter_map(|name| name.0.last_mut().and_then(ident_of)));
            }
            None => {}
        }
        if let Some(replace) = &mut options.opt_replace {
            idents.extend(replace.items.iter_mut().map(|item| &mut item.column_name));
        }
        idents.into_iter().try_for_each(|ident| self.scopes.spell_in(relation, ident))
    }

    fn stars(&self, select: &mut Select) -> Result<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::Wildcard(options) => self.spell_star(None, options)?,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    lower_parts(name);
                    self.spell_star(last_part(name).as_deref(), options)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Box<Error>;

    fn pre_visit_query(&mut self, query: &mut Query) -> Step {
        for common in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            lower(&mut common.alias.name);
        }
        ordinal::expand(query);
        self.scopes.enter_query(query);
        Step::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> Step {
        self.scopes.leave();
        Step::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Step {
        // `FROM t` alone is all of it, as in DuckDB.
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            select.flavor = SelectFlavor::FromFirst;
            select.projection = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
        }
        self.hide_file_in_stars(select);
        for table in &mut select.from {
            step(align::joins(&mut self.scopes, table))?;
        }
        self.scopes.enter_select(select);
        step(self.stars(select))
    }

    fn post_visit_select(&mut self, select: &mut Select) -> Step {
        if let Some(scope) = self.scopes.innermost() {
            fields::name(select, scope);
            repeated::number(select, scope);
        }
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            repeated::keep_first(keys);
        }
        self.scopes.leave();
        Step::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> Step {
        match factor {
            TableFactor::Table { name, alias, args, .. } => {
                if args.is_none() {
                    lower_parts(name);
                }
                lower_alias(alias.as_mut());
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::TableFunction { alias, .. } => lower_alias(alias.as_mut()),
            _ => {}
        }
        Step::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Step {
        match expr {
            Expr::Identifier(ident) => step(self.scopes.column(ident).map(drop)),
            Expr::CompoundIdentifier(parts) => step(self.scopes.compound(parts)),
            _ => Step::Continue(()),
        }
    }
}

fn ident_of(part: &mut ObjectNamePart) -> Option<&mut Ident> {
    match part {
        ObjectNamePart::Identifier(ident) => Some(ident),
        ObjectNamePart::Function(_) => None,
    }
}

fn lower(ident: &mut Ident) {
    ident.value = ident.value.to_lowercase();
}

fn lower_alias(alias: Option<&mut TableAlias>) {
    if let Some(alias) = alias {
        lower(&mut alias.name);
    }
}

/// Lower-cases the parts of a relation's name, but for the name of an ad-hoc file.
fn lower_parts(name: &mut ObjectName) {
    for part in &mut name.0 {
        if let ObjectNamePart::Identifier(ident) = part
            && ident.quote_style != Some('\'')
        {
            lower(ident);
        }
    }
}

/// The last part of a relation's name.
pub fn last_part(name: &ObjectName) -> Option<String> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(ident)) => Some(ident.value.clone()),
        _ => None,
    }
}
