//! The catalog at one version, and the questions that the engine asks it.

use super::names::resolve_database_name;
use super::objects::{Database, Model, ObjectKey, Secret, Table, User, View};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The catalog at one version: immutable, cheap to share.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with every change, also across restarts.
    pub version: u64,
    /// By lower-case name.
    pub databases: BTreeMap<String, Arc<Database>>,
    pub tables: BTreeMap<ObjectKey, Arc<Table>>,
    pub views: BTreeMap<ObjectKey, Arc<View>>,
    pub models: BTreeMap<ObjectKey, Arc<Model>>,
    /// By name; user names are case-sensitive.
    pub users: BTreeMap<String, Arc<User>>,
    /// By lower-case name.
    pub secrets: BTreeMap<String, Arc<Secret>>,
}

/// What a name in FROM can mean: tables and views share their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    Table(Arc<Table>),
    View(Arc<View>),
}

impl Relation {
    /// The name as written at creation.
    pub fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
        }
    }

    /// `table` or `view`, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(_) => "view",
        }
    }
}

impl Snapshot {
    /// The database of this name, in any case; `default` means `public`.
    pub fn database(&self, name: &str) -> Result<&Arc<Database>> {
        self.databases.get(&resolve_database_name(name)).ok_or_else(|| {
            let what = format!("database \"{name}\" does not exist");
            Error::unknown(Code::UndefinedDatabase, what, name, self.databases.values().map(|database| database.name.as_str()))
        })
    }

    /// The table or view of this name, if there is one.
    pub fn relation(&self, key: &ObjectKey) -> Option<Relation> {
        let table = self.tables.get(key).map(|table| Relation::Table(Arc::clone(table)));
        table.or_else(|| self.views.get(key).map(|view| Relation::View(Arc::clone(view))))
    }

    /// The table of this name; a view of the name is [`Code::WrongObject`].
    pub fn table(&self, key: &ObjectKey) -> Result<&Arc<Table>> {
        match self.tables.get(key) {
            Some(table) => Ok(table),
            None if self.views.contains_key(key) => {
                Err(Error::new(Code::WrongObject, format!("\"{key}\" is a view, not a table")).hint("Use the table that it reads."))
            }
            None => Err(self.undefined_table("table", key)),
        }
    }

    /// The view of this name; a table of the name is [`Code::WrongObject`].
    pub fn view(&self, key: &ObjectKey) -> Result<&Arc<View>> {
        match self.views.get(key) {
            Some(view) => Ok(view),
            None if self.tables.contains_key(key) => Err(Error::new(Code::WrongObject, format!("\"{key}\" is a table, not a view"))),
            None => Err(self.undefined_table("view", key)),
        }
    }

    /// The model of this name.
    pub fn model(&self, key: &ObjectKey) -> Result<&Arc<Model>> {
        self.models.get(key).ok_or_else(|| {
            let what = format!("model \"{}\" does not exist", self.display(key));
            let known = self.models_of(&key.database).map(|model| model.name.as_str());
            Error::unknown(Code::UndefinedObject, what, &key.name, known)
        })
    }

    /// The user of this name; names are case-sensitive.
    pub fn user(&self, name: &str) -> Result<&Arc<User>> {
        self.users.get(name).ok_or_else(|| {
            let what = format!("user \"{name}\" does not exist");
            Error::unknown(Code::UndefinedObject, what, name, self.users.keys().map(String::as_str))
        })
    }

    /// The secret of this name, in any case.
    pub fn secret(&self, name: &str) -> Result<&Arc<Secret>> {
        self.secrets.get(&name.to_lowercase()).ok_or_else(|| {
            let what = format!("secret \"{name}\" does not exist");
            Error::unknown(Code::UndefinedObject, what, name, self.secrets.values().map(|secret| secret.name.as_str()))
        })
    }

    /// The tables of a database, by name.
    pub fn tables_of(&self, database: &str) -> impl Iterator<Item = &Arc<Table>> {
        of_database(&self.tables, database)
    }

    /// The views of a database, by name.
    pub fn views_of(&self, database: &str) -> impl Iterator<Item = &Arc<View>> {
        of_database(&self.views, database)
    }

    /// The models of a database, by name.
    pub fn models_of(&self, database: &str) -> impl Iterator<Item = &Arc<Model>> {
        of_database(&self.models, database)
    }

    /// The tables and views of a database, sorted by name without regard to case.
    pub fn relations_of(&self, database: &str) -> Vec<Relation> {
        let tables = self.tables_of(database).map(|table| Relation::Table(Arc::clone(table)));
        let views = self.views_of(database).map(|view| Relation::View(Arc::clone(view)));
        let mut relations: Vec<_> = tables.chain(views).collect();
        relations.sort_by_cached_key(|relation| relation.name().to_lowercase());
        relations
    }

    /// True when nothing lies in the database.
    pub fn is_database_empty(&self, database: &str) -> bool {
        self.tables_of(database).next().is_none() && self.views_of(database).next().is_none() && self.models_of(database).next().is_none()
    }

    /// A table by its id, which survives renaming.
    pub fn table_by_id(&self, id: &str) -> Option<&Arc<Table>> {
        self.tables.values().find(|table| table.id == id)
    }

    /// "table does not exist", with the nearest table or view of that database; a missing database is said first.
    pub fn undefined_table(&self, what: &str, key: &ObjectKey) -> Error {
        if let Err(error) = self.database(&key.database)
            && !super::RESERVED_DATABASES.contains(&key.database.as_str())
        {
            return error;
        }
        let relations = self.relations_of(&key.database);
        let message = format!("{what} \"{}\" does not exist", self.display(key));
        Error::unknown(Code::UndefinedTable, message, &key.name, relations.iter().map(Relation::name))
    }

    /// A key for messages: without the database when it is the default one.
    fn display(&self, key: &ObjectKey) -> String {
        if key.database == super::DEFAULT_DATABASE { key.name.clone() } else { key.to_string() }
    }
}

/// The part of a map that lies in one database, without walking the rest.
fn of_database<'a, T>(map: &'a BTreeMap<ObjectKey, Arc<T>>, database: &str) -> impl Iterator<Item = &'a Arc<T>> + use<'a, T> {
    let first = ObjectKey { database: resolve_database_name(database), name: String::new() };
    let database = first.database.clone();
    map.range(first..).take_while(move |(key, _)| key.database == database).map(|(_, object)| object)
}
