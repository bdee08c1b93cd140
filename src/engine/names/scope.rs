//! What the names in one place of a query can mean: the tables of its FROM, the names that it gives itself,
//! and those of the queries around it.

use super::fields;
use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Schema};
use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableAlias, TableFactor, TableFunctionArgs, TableWithJoins, WildcardAdditionalOptions,
};
use std::collections::BTreeMap;

/// A column as its table spells it; the type is known for columns of tables, for the names of fields.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    data_type: Option<DataType>,
}

impl Column {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), data_type: None }
    }
}

/// The columns of a relation.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub(super) list: Vec<Column>,
    /// There may be more: the relation is a function whose columns only the planner knows.
    open: bool,
}

impl Columns {
    fn open() -> Self {
        Self { list: Vec::new(), open: true }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    fn of_schema(schema: &Schema) -> Self {
        let list =
            schema.fields().iter().map(|field| Column { name: field.name().clone(), data_type: Some(field.data_type().clone()) }).collect();
        Self { list, open: false }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.list.iter().any(|column| column.name == name)
    }

    /// `AS t (a, b)`: new names by position.
    fn renamed(mut self, alias: Option<&TableAlias>) -> Self {
        for (idx, new) in alias.into_iter().flat_map(|alias| &alias.columns).enumerate() {
            match self.list.get_mut(idx) {
                Some(column) => column.name.clone_from(&new.name.value),
                None => self.list.push(Column::named(&new.name.value)),
            }
        }
        self
    }
}

/// The spelling of `name` among columns: exact, or the only one but for its case.
pub(super) fn spelling<'a>(columns: impl IntoIterator<Item = &'a Column>, name: &str) -> Result<Option<&'a Column>> {
    let folded = name.to_lowercase();
    let mut hit: Option<&Column> = None;
    let mut is_ambiguous = false;
    for column in columns {
        if column.name == name {
            return Ok(Some(column));
        }
        if column.name.to_lowercase() == folded {
            is_ambiguous |= hit.is_some_and(|other| other.name != column.name);
            hit = hit.or(Some(column));
        }
    }
    if is_ambiguous {
        return Err(Error::new(Code::InvalidStatement, format!("column \"{name}\" is ambiguous: several columns differ only by case"))
            .hint("Write it exactly as the table does, with the table's name or alias before it."));
    }
    Ok(hit)
}

/// The names of one SELECT, or of the ORDER BY of a query.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Lower-case alias or name of each relation of FROM, with its columns.
    relations: Vec<(String, Columns)>,
    /// Names that the select list gives.
    aliases: Vec<Column>,
    /// ORDER BY sees the select list before the tables.
    is_aliases_first: bool,
}

impl Scope {
    fn columns(&self) -> impl Iterator<Item = &Column> {
        self.relations.iter().flat_map(|(_, columns)| &columns.list)
    }

    fn is_open(&self) -> bool {
        self.relations.iter().any(|(_, columns)| columns.open)
    }

    fn relation(&self, name: &str) -> Option<&Columns> {
        self.relations.iter().find(|(alias, _)| alias == name).map(|(_, columns)| columns)
    }

    /// Whether a relation has a column of that name in any case, or may have.
    pub(super) fn may_have(&self, name: &str) -> bool {
        let folded = name.to_lowercase();
        self.is_open() || self.columns().any(|column| column.name.to_lowercase() == folded)
    }

    /// The field that a compound name takes out of a struct of this scope, spelt as its type has it.
    pub(super) fn field(&self, parts: &[Ident]) -> Option<String> {
        let relation = |idx: usize| self.relation(&parts.get(idx)?.value.to_lowercase()).map(|columns| (idx + 1, columns));
        let (column_idx, column) = match (0..parts.len().saturating_sub(1)).find_map(relation) {
            Some((idx, columns)) => (idx, spelling(&columns.list, &parts[idx].value)),
            None => (0, self.find(&parts.first()?.value)),
        };
        let column = column.ok().flatten()?;
        let mut fields = parts[column_idx + 1..].to_vec();
        spell_fields(&mut fields, column.data_type.clone());
        fields.pop().map(|field| field.value)
    }

    /// The relation and the name of a plain column, where both are sure.
    pub(super) fn place(&self, expr: &Expr) -> Option<(String, String)> {
        match expr {
            Expr::Identifier(ident) if !self.is_open() => {
                let mut owners = self.relations.iter().filter(|(_, columns)| columns.contains(&ident.value));
                let (relation, _) = owners.next().filter(|_| owners.next().is_none())?;
                Some((relation.clone(), ident.value.clone()))
            }
            Expr::CompoundIdentifier(parts) => {
                let [.., relation, column] = parts.as_slice() else { return None };
                let relation = relation.value.to_lowercase();
                self.relation(&relation).filter(|columns| columns.contains(&column.value))?;
                Some((relation, column.value.clone()))
            }
            _ => None,
        }
    }

    /// The relations and names of the columns that a star stands for, as far as they are known.
    pub(super) fn star(&self, item: &SelectItem) -> Vec<(String, String)> {
        let (wanted, options) = match item {
            SelectItem::Wildcard(options) => (None, options),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                (super::last_part(name).map(|name| name.to_lowercase()), options)
            }
            _ => return Vec::new(),
        };
        let relations = self.relations.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == name));
        let columns = relations.flat_map(|(relation, columns)| {
            let mut shown = Columns::default();
            add_star(&mut shown, columns, options);
            shown.list.into_iter().map(|column| (relation.clone(), column.name))
        });
        columns.collect()
    }

    fn find(&self, name: &str) -> Result<Option<&Column>> {
        if self.is_aliases_first
            && let Some(alias) = spelling(&self.aliases, name)?
        {
            return Ok(Some(alias));
        }
        match spelling(self.columns(), name)? {
            None => spelling(&self.aliases, name),
            found => Ok(found),
        }
    }
}

/// The scopes around the place where a walk over the query is.
#[derive(Debug)]
pub(super) struct Scopes<'a> {
    /// Columns of the tables by [`key`].
    tables: &'a BTreeMap<String, Columns>,
    /// Common tables, innermost last.
    common: Vec<(String, Columns)>,
    /// Each with the count of common tables outside it.
    frames: Vec<(usize, Scope)>,
}

/// Tables that a query reads, by [`key`].
pub(super) type Tables = BTreeMap<String, Columns>;

/// Adds a table with its schema.
pub(super) fn add_table(tables: &mut Tables, name: &ObjectName, schema: &Schema) {
    tables.insert(key(name), Columns::of_schema(schema));
}

/// Adds a call of a table function with one of its columns.
pub(super) fn add_function(tables: &mut Tables, name: &ObjectName, args: &TableFunctionArgs, column: &str) {
    tables.insert(call_key(name, args), Columns { list: vec![Column::named(column)], open: true });
}

fn call_key(name: &ObjectName, args: &TableFunctionArgs) -> String {
    let args: Vec<String> = args.args.iter().map(ToString::to_string).collect();
    format!("{}({})", key(name), args.join(", "))
}

/// A relation's name as written, in lower case but for the paths of files.
pub(super) fn key(name: &ObjectName) -> String {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(ident) if ident.quote_style == Some('\'') => ident.value.clone(),
        ObjectNamePart::Identifier(ident) => ident.value.to_lowercase(),
        ObjectNamePart::Function(function) => function.to_string(),
    };
    name.0.iter().map(part).collect::<Vec<_>>().join(".")
}

impl<'a> Scopes<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        Self { tables, common: Vec::new(), frames: Vec::new() }
    }

    /// Enters a query: its common tables, and the names that its ORDER BY sees.
    pub(super) fn enter_query(&mut self, query: &Query) {
        let n_common = self.common.len();
        self.push_common(query);
        let mut scope = match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select),
            _ => Scope::default(),
        };
        scope.aliases = self.outputs_of(&query.body).list;
        scope.is_aliases_first = true;
        self.frames.push((n_common, scope));
    }

    /// Enters a SELECT.
    pub(super) fn enter_select(&mut self, select: &Select) {
        let scope = self.select(select);
        self.frames.push((self.common.len(), scope));
    }

    /// Leaves the query or SELECT that was entered last.
    pub(super) fn leave(&mut self) {
        if let Some((n_common, _)) = self.frames.pop() {
            self.common.truncate(n_common);
        }
    }

    /// The scopes that a name may refer to, innermost first: what ORDER BY sees is nobody else's.
    fn visible(&self) -> impl Iterator<Item = &Scope> {
        let scopes = self.frames.iter().rev().map(|(_, scope)| scope);
        scopes.enumerate().filter(|(depth, scope)| *depth == 0 || !scope.is_aliases_first).map(|(_, scope)| scope)
    }

    /// Spells a column: here first, then in the queries around.
    pub(super) fn column(&self, ident: &mut Ident) -> Result<Option<Column>> {
        for scope in self.visible() {
            if let Some(column) = scope.find(&ident.value)? {
                ident.value.clone_from(&column.name);
                return Ok(Some(column.clone()));
            }
        }
        self.fold(ident, self.visible().any(Scope::is_open));
        Ok(None)
    }

    /// Spells `[catalog.][database.][relation.]column[.field ..]`.
    pub(super) fn compound(&self, parts: &mut [Ident]) -> Result<()> {
        let (qualifier, column_idx) = self.qualifier(parts);
        for part in &mut parts[..column_idx] {
            part.value = part.value.to_lowercase();
        }
        let Some((ident, fields)) = parts[column_idx..].split_first_mut() else { return Ok(()) };
        let column = match qualifier {
            None => self.column(ident)?,
            Some(columns) => {
                let column = spelling(&columns.list, &ident.value)?;
                match column {
                    Some(column) => ident.value.clone_from(&column.name),
                    None => self.fold(ident, columns.open),
                }
                column.cloned()
            }
        };
        spell_fields(fields, column.and_then(|column| column.data_type));
        Ok(())
    }

    /// The names of the SELECT that was entered last.
    pub(super) fn innermost(&self) -> Option<&Scope> {
        self.frames.last().map(|(_, scope)| scope)
    }

    /// The relation that a compound name begins with, and where its column stands.
    fn qualifier(&self, parts: &[Ident]) -> (Option<&Columns>, usize) {
        for (idx, part) in parts.iter().enumerate().take(parts.len().saturating_sub(1).min(3)) {
            let name = part.value.to_lowercase();
            if let Some(columns) = self.visible().find_map(|scope| scope.relation(&name)) {
                return (Some(columns), idx + 1);
            }
        }
        (None, 0)
    }

    /// Columns of functions are in lower case: an unquoted name that nothing else has may be one of them.
    fn fold(&self, ident: &mut Ident, is_open: bool) {
        if is_open && ident.quote_style.is_none() {
            ident.value = ident.value.to_lowercase();
        }
    }

    /// The columns of the innermost scope's relation, or of all of them.
    pub(super) fn spell_in(&self, relation: Option<&str>, ident: &mut Ident) -> Result<()> {
        let Some((_, scope)) = self.frames.last() else { return Ok(()) };
        let found = match relation.and_then(|name| scope.relation(name)) {
            Some(columns) => spelling(&columns.list, &ident.value)?,
            None => spelling(scope.columns(), &ident.value)?,
        };
        if let Some(column) = found {
            ident.value.clone_from(&column.name);
        }
        Ok(())
    }

    fn push_common(&mut self, query: &Query) {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let columns = self.outputs(&table.query).renamed(Some(&table.alias));
            self.common.push((table.alias.name.value.to_lowercase(), columns));
        }
    }

    /// The columns that a query returns.
    fn outputs(&mut self, query: &Query) -> Columns {
        let n_common = self.common.len();
        self.push_common(query);
        let columns = self.outputs_of(&query.body);
        self.common.truncate(n_common);
        columns
    }

    fn outputs_of(&mut self, mut body: &SetExpr) -> Columns {
        while let SetExpr::SetOperation { left, .. } = body {
            body = left;
        }
        match body {
            SetExpr::Select(select) => self.projection(select),
            SetExpr::Query(query) => self.outputs(query),
            SetExpr::Values(values) => {
                let n_columns = values.rows.first().map_or(0, |row| row.iter().count());
                Columns { list: (1..=n_columns).map(|number| Column::named(&format!("column{number}"))).collect(), open: false }
            }
            _ => Columns::open(),
        }
    }

    fn projection(&mut self, select: &Select) -> Columns {
        let scope = self.select(select);
        let mut columns = Columns::default();
        for (item, field) in select.projection.iter().zip(fields::names(select, &scope)) {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    columns.list.extend(field.as_deref().map(Column::named).or_else(|| column_of(&scope, expr)))
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let data_type = column_of(&scope, expr).and_then(|column| column.data_type);
                    columns.list.push(Column { name: alias.value.clone(), data_type });
                }
                SelectItem::Wildcard(options) => {
                    for (_, relation) in &scope.relations {
                        add_star(&mut columns, relation, options);
                    }
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    match super::last_part(name).and_then(|name| scope.relation(&name.to_lowercase())) {
                        Some(relation) => add_star(&mut columns, relation, options),
                        None => columns.open = true,
                    }
                }
                _ => columns.open = true,
            }
        }
        columns
    }

    /// The scope of a SELECT: its relations, and the aliases that GROUP BY and HAVING may use.
    fn select(&mut self, select: &Select) -> Scope {
        let mut scope = Scope::default();
        for table in &select.from {
            self.relations(table, &mut scope.relations);
        }
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                scope.aliases.push(Column::named(&alias.value));
            }
        }
        scope
    }

    fn relations(&mut self, table: &TableWithJoins, found: &mut Vec<(String, Columns)>) {
        self.relation(&table.relation, found);
        for join in &table.joins {
            self.relation(&join.relation, found);
        }
    }

    /// Adds the relations of one item of FROM; a join in brackets has several.
    pub(super) fn relation(&mut self, factor: &TableFactor, found: &mut Vec<(String, Columns)>) {
        let (name, alias, columns) = match factor {
            TableFactor::Table { name, alias, args, .. } => {
                let columns = match args {
                    Some(args) => self.tables.get(&call_key(name, args)).cloned().unwrap_or_else(Columns::open),
                    None => self.table(name),
                };
                (super::last_part(name), alias.as_ref(), columns)
            }
            TableFactor::Derived { subquery, alias, .. } => (None, alias.as_ref(), self.outputs(subquery)),
            TableFactor::Function { name, alias, .. } => (super::last_part(name), alias.as_ref(), Columns::open()),
            TableFactor::UNNEST { alias, .. } | TableFactor::TableFunction { alias, .. } => (None, alias.as_ref(), Columns::open()),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                let mut inner = Vec::new();
                self.relations(table_with_joins, &mut inner);
                if alias.is_none() {
                    found.extend(inner);
                    return;
                }
                let open = inner.iter().any(|(_, columns)| columns.open);
                let list = inner.into_iter().flat_map(|(_, columns)| columns.list).collect();
                (None, alias.as_ref(), Columns { list, open })
            }
            _ => (None, None, Columns::open()),
        };
        let name = alias.map(|alias| alias.name.value.clone()).or(name).unwrap_or_default();
        found.push((name.to_lowercase(), columns.renamed(alias)));
    }

    fn table(&self, name: &ObjectName) -> Columns {
        let key = key(name);
        let common = self.common.iter().rev().find(|(known, _)| *known == key).map(|(_, columns)| columns);
        common.or_else(|| self.tables.get(&key)).cloned().unwrap_or_else(Columns::open)
    }
}

/// The column that an expression is, when it is no more than one.
fn column_of(scope: &Scope, expr: &Expr) -> Option<Column> {
    match expr {
        Expr::Identifier(ident) => scope.find(&ident.value).ok().flatten().cloned().or_else(|| Some(Column::named(&ident.value))),
        Expr::CompoundIdentifier(parts) => {
            let [.., relation, column] = parts.as_slice() else { return None };
            let columns = scope.relation(&relation.value.to_lowercase())?;
            spelling(&columns.list, &column.value).ok().flatten().cloned().or_else(|| Some(Column::named(&column.value)))
        }
        Expr::Nested(inner) => column_of(scope, inner),
        _ => None,
    }
}

fn add_star(columns: &mut Columns, relation: &Columns, options: &WildcardAdditionalOptions) {
    let mut left_out: Vec<String> = Vec::new();
    if let Some(except) = &options.opt_except {
        left_out.extend(std::iter::once(&except.first_element).chain(&except.additional_elements).map(|ident| ident.value.to_lowercase()));
    }
    match &options.opt_exclude {
        Some(ExcludeSelectItem::Single(name)) => left_out.extend(super::last_part(name).map(|name| name.to_lowercase())),
        Some(ExcludeSelectItem::Multiple(names)) => {
            left_out.extend(names.iter().filter_map(super::last_part).map(|name| name.to_lowercase()));
        }
        None => {}
    }
    columns.list.extend(relation.list.iter().filter(|column| !left_out.contains(&column.name.to_lowercase())).cloned());
    columns.open |= relation.open;
}

/// Spells the fields of nested structs, as far as the types are known.
fn spell_fields(parts: &mut [Ident], mut data_type: Option<DataType>) {
    for part in parts {
        let Some(DataType::Struct(fields)) = &data_type else { return };
        let exact = fields.iter().find(|field| *field.name() == part.value);
        let mut folded = fields.iter().filter(|field| field.name().to_lowercase() == part.value.to_lowercase());
        let only = folded.next().filter(|_| folded.next().is_none());
        let Some(field) = exact.or(only) else { return };
        part.value.clone_from(field.name());
        data_type = Some(field.data_type().clone());
    }
}
