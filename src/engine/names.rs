//! Names without regard to case: a pass over a query's tree before it is planned.
//!
//! Relations (tables, aliases, common tables) become lower case everywhere. A column becomes the
//! spelling that its table has; one that is spelt exactly as a known column stays. So `SELECT userId`
//! and `SELECT USERID` both find `userId`, and the result is named as the table names it.

use crate::error::{Code, Error, Result};
use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableFactor,
    Visit, VisitMut, Visitor, VisitorMut, WildcardAdditionalOptions,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// The hidden column with the path of the row's file.
pub const FILE_COLUMN: &str = "_file";

/// Names that a query may mean: columns of its tables, and those that it defines itself.
#[derive(Debug, Default)]
pub struct KnownNames {
    /// Every spelling of a column.
    exact: BTreeSet<String>,
    /// Lower case to the spellings.
    folded: BTreeMap<String, BTreeSet<String>>,
    /// Lower-case names of relations and their aliases.
    relations: BTreeSet<String>,
    /// Lower-case relation or alias -> columns, for qualified names.
    columns_of: BTreeMap<String, BTreeSet<String>>,
}

impl KnownNames {
    /// A table that the query reads, with its columns.
    pub fn add_table<'a>(&mut self, name: &str, columns: impl IntoIterator<Item = &'a str>) {
        let name = name.to_lowercase();
        for column in columns {
            self.add_column(column);
            self.columns_of.entry(name.clone()).or_default().insert(column.to_owned());
        }
        self.relations.insert(name);
    }

    /// `alias` stands for the table `name` (both in any case).
    fn add_alias(&mut self, alias: &str, name: Option<&str>) {
        let alias = alias.to_lowercase();
        if let Some(columns) = name.and_then(|name| self.columns_of.get(&name.to_lowercase()).cloned()) {
            self.columns_of.entry(alias.clone()).or_default().extend(columns);
        }
        self.relations.insert(alias);
    }

    fn add_column(&mut self, name: &str) {
        self.exact.insert(name.to_owned());
        self.folded.entry(name.to_lowercase()).or_default().insert(name.to_owned());
    }

    fn resolve(&self, qualifier: Option<&str>, name: &str) -> Result<Option<String>> {
        if let Some(columns) = qualifier.and_then(|qualifier| self.columns_of.get(qualifier)) {
            if columns.contains(name) {
                return Ok(None);
            }
            let mut hits =
                columns.iter().filter(|column| column.eq_ignore_ascii_case(name) || column.to_lowercase() == name.to_lowercase());
            if let Some(hit) = hits.next() {
                return if hits.next().is_some() { Err(ambiguous(name)) } else { Ok(Some(hit.clone())) };
            }
        }
        if self.exact.contains(name) {
            return Ok(None);
        }
        match self.folded.get(&name.to_lowercase()) {
            None => Ok(None), // Unknown: the planner says so, with what is near.
            Some(spellings) if spellings.len() == 1 => Ok(spellings.first().cloned()),
            Some(_) => Err(ambiguous(name)),
        }
    }
}

fn ambiguous(name: &str) -> Error {
    Error::new(Code::InvalidStatement, format!("column \"{name}\" is ambiguous: several columns differ only by case"))
        .hint("Write it exactly as the table does.")
}

/// Collects the names that a query defines itself: aliases of columns and tables, common tables.
struct Definitions<'a> {
    known: &'a mut KnownNames,
    mentions_file: bool,
}

impl Visitor for Definitions<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for common in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.known.add_alias(&common.alias.name.value, None);
            for column in &common.alias.columns {
                self.known.add_column(&column.name.value);
            }
        }
        select_aliases(&query.body, self.known);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let (alias, name) = match factor {
            TableFactor::Table { alias, name, .. } => {
                let last = last_part(name);
                if let Some(last) = &last {
                    self.known.relations.insert(last.to_lowercase());
                }
                (alias, last)
            }
            TableFactor::Derived { alias, .. } | TableFactor::Function { alias, .. } | TableFactor::UNNEST { alias, .. } => (alias, None),
            TableFactor::NestedJoin { alias, .. } => (alias, None),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(alias) = alias {
            self.known.add_alias(&alias.name.value, name.as_deref());
            for column in &alias.columns {
                self.known.add_column(&column.name.value);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let last = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        self.mentions_file |= last.is_some_and(|ident| ident.value.eq_ignore_ascii_case(FILE_COLUMN));
        ControlFlow::Continue(())
    }
}

fn select_aliases(body: &SetExpr, known: &mut KnownNames) {
    match body {
        SetExpr::Select(select) => {
            for item in &select.projection {
                if let SelectItem::ExprWithAlias { alias, .. } = item {
                    known.add_column(&alias.value);
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            select_aliases(left, known);
            select_aliases(right, known);
        }
        _ => {}
    }
}

/// True when the query names the hidden column `_file`.
pub fn mentions_file_column(query: &Query) -> bool {
    let mut known = KnownNames::default();
    let mut definitions = Definitions { known: &mut known, mentions_file: false };
    let _ = query.visit(&mut definitions);
    definitions.mentions_file
}

/// The relations that a query reads, each part as written: tables, without common tables of the same query.
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
pub fn resolve(query: &mut Query, mut known: KnownNames) -> Result<()> {
    let mut definitions = Definitions { known: &mut known, mentions_file: false };
    let _ = Visit::visit(&*query, &mut definitions);
    let mentions_file = definitions.mentions_file;
    let mut rewriter = Rewriter { known: &known, hide_file: mentions_file };
    match VisitMut::visit(query, &mut rewriter) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Rewriter<'a> {
    known: &'a KnownNames,
    hide_file: bool,
}

impl Rewriter<'_> {
    fn column(&self, qualifier: Option<&str>, ident: &mut Ident) -> ControlFlow<Error> {
        match self.known.resolve(qualifier, &ident.value) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(spelling)) => {
                ident.value = spelling;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn compound(&self, parts: &mut [Ident]) -> ControlFlow<Error> {
        // [database.][relation.]column[.field ..]: lower-case the qualifiers, spell the column, leave fields alone.
        let mut column_idx = 0;
        while column_idx + 1 < parts.len() && column_idx < 3 && self.is_qualifier(parts, column_idx) {
            parts[column_idx].value = parts[column_idx].value.to_lowercase();
            column_idx += 1;
        }
        let qualifier = column_idx.checked_sub(1).map(|idx| parts[idx].value.clone());
        self.column(qualifier.as_deref(), &mut parts[column_idx])
    }

    fn is_qualifier(&self, parts: &[Ident], idx: usize) -> bool {
        let relation = |idx: usize| parts.get(idx).is_some_and(|part| self.known.relations.contains(&part.value.to_lowercase()));
        relation(idx) || (parts.len() > idx + 2 && (relation(idx + 1) || (parts.len() > idx + 3 && relation(idx + 2))))
    }

    /// `SELECT *, _file` and `SELECT * .. WHERE _file ..`: the star does not bring the hidden column along.
    fn hide_file_in_stars(&self, select: &mut Select) {
        let has_file = |factor: &TableFactor| match factor {
            TableFactor::Table { name, .. } => last_part(name)
                .and_then(|name| self.known.columns_of.get(&name.to_lowercase()))
                .is_some_and(|columns| columns.contains(FILE_COLUMN)),
            _ => false,
        };
        let of_tables =
            select.from.iter().any(|table| has_file(&table.relation) || table.joins.iter().any(|join| has_file(&join.relation)));
        if !self.hide_file || !of_tables {
            return;
        }
        for item in &mut select.projection {
            let options = match item {
                SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => options,
                _ => continue,
            };
            hide_file(options);
        }
    }
}

fn hide_file(options: &mut WildcardAdditionalOptions) {
    use sqlparser::ast::ExceptSelectItem;
    if options.opt_except.is_none() && options.opt_exclude.is_none() {
        options.opt_except = Some(ExceptSelectItem { first_element: Ident::new(FILE_COLUMN), additional_elements: Vec::new() });
    }
}

impl VisitorMut for Rewriter<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        if let Some(with) = &mut query.with {
            for common in &mut with.cte_tables {
                lower(&mut common.alias.name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
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
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        self.hide_file_in_stars(select);
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                lower_parts(name);
            }
        }
        for table in &mut select.from {
            for join in &mut table.joins {
                self.using(&mut join.join_operator)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Identifier(ident) => self.column(None, ident),
            Expr::CompoundIdentifier(parts) => self.compound(parts),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Rewriter<'_> {
    fn using(&self, operator: &mut sqlparser::ast::JoinOperator) -> ControlFlow<Error> {
        use sqlparser::ast::{JoinConstraint, JoinOperator as J};
        let constraint = match operator {
            J::Join(c)
            | J::Inner(c)
            | J::Left(c)
            | J::LeftOuter(c)
            | J::Right(c)
            | J::RightOuter(c)
            | J::FullOuter(c)
            | J::LeftSemi(c)
            | J::Semi(c)
            | J::Anti(c)
            | J::LeftAnti(c)
            | J::RightSemi(c)
            | J::RightAnti(c) => c,
            _ => return ControlFlow::Continue(()),
        };
        if let JoinConstraint::Using(names) = constraint {
            for name in names {
                for part in &mut name.0 {
                    if let ObjectNamePart::Identifier(ident) = part {
                        self.column(None, ident)?;
                    }
                }
            }
        }
        ControlFlow::Continue(())
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
