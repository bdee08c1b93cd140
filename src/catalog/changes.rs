//! One definition to write or remove, and the rules that hold whatever a caller asks for.

use super::names::{DEFAULT_DATABASE, RESERVED_DATABASES, check_name, resolve_database_name};
use super::objects::{Database, Model, ObjectKey, Secret, Table, User, View};
use super::snapshot::Snapshot;
use crate::error::{Code, Error, Result};
use std::sync::Arc;

/// One definition to write or remove. A [`super::Catalog::apply`] takes several, all or nothing.
///
/// A put replaces what has the same name; who must not replace looks into the snapshot first.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a statement makes a few, and they live as long as it")]
pub enum Change {
    PutDatabase(Database),
    DropDatabase(String),
    PutTable(Table),
    DropTable(ObjectKey),
    PutView(View),
    DropView(ObjectKey),
    PutModel(Model),
    DropModel(ObjectKey),
    PutUser(User),
    DropUser(String),
    PutSecret(Secret),
    DropSecret(String),
}

impl Snapshot {
    /// Carries out one change in memory, or says why it would leave the catalog broken.
    pub(super) fn change(&mut self, change: Change) -> Result<()> {
        match change {
            Change::PutDatabase(database) => self.put_database(database),
            Change::DropDatabase(name) => self.drop_database(&name),
            Change::PutTable(table) => {
                let key = self.new_key("table", &table.database, &table.name)?;
                if self.views.contains_key(&key) {
                    return Err(Error::new(Code::DuplicateTable, format!("a view \"{key}\" already exists")));
                }
                self.tables.insert(key, Arc::new(table));
                Ok(())
            }
            Change::DropTable(key) => {
                self.table(&key)?;
                self.tables.remove(&key);
                Ok(())
            }
            Change::PutView(view) => {
                let key = self.new_key("view", &view.database, &view.name)?;
                if self.tables.contains_key(&key) {
                    return Err(Error::new(Code::DuplicateTable, format!("a table \"{key}\" already exists")));
                }
                self.views.insert(key, Arc::new(view));
                Ok(())
            }
            Change::DropView(key) => {
                self.view(&key)?;
                self.views.remove(&key);
                Ok(())
            }
            Change::PutModel(model) => {
                let key = self.new_key("model", &model.database, &model.name)?;
                self.models.insert(key, Arc::new(model));
                Ok(())
            }
            Change::DropModel(key) => {
                self.model(&key)?;
                self.models.remove(&key);
                Ok(())
            }
            Change::PutUser(user) => {
                check_name("user", &user.name)?;
                if !user.admin {
                    self.keep_an_administrator(&user.name)?;
                }
                self.users.insert(user.name.clone(), Arc::new(user));
                Ok(())
            }
            Change::DropUser(name) => {
                self.user(&name)?;
                self.keep_an_administrator(&name)?;
                self.users.remove(&name);
                Ok(())
            }
            Change::PutSecret(secret) => {
                check_name("secret", &secret.name)?;
                self.secrets.insert(secret.name.to_lowercase(), Arc::new(secret));
                Ok(())
            }
            Change::DropSecret(name) => {
                self.secret(&name)?;
                self.secrets.remove(&name.to_lowercase());
                Ok(())
            }
        }
    }

    fn put_database(&mut self, database: Database) -> Result<()> {
        check_name("database", &database.name)?;
        let lower = database.name.to_lowercase();
        if RESERVED_DATABASES.contains(&lower.as_str()) {
            return Err(Error::new(Code::DuplicateDatabase, format!("the name of database \"{lower}\" is reserved")));
        }
        if resolve_database_name(&lower) != lower {
            return Err(Error::new(Code::DuplicateDatabase, format!("database \"{lower}\" is another name of \"{DEFAULT_DATABASE}\"")));
        }
        self.databases.insert(lower, Arc::new(database));
        Ok(())
    }

    fn drop_database(&mut self, name: &str) -> Result<()> {
        self.database(name)?;
        let lower = resolve_database_name(name);
        if lower == DEFAULT_DATABASE {
            return Err(Error::new(Code::WrongObject, format!("database \"{DEFAULT_DATABASE}\" cannot be dropped")));
        }
        if !self.is_database_empty(&lower) {
            let (tables, views) = (self.tables_of(&lower).count(), self.views_of(&lower).count());
            let models = self.models_of(&lower).count();
            return Err(Error::new(Code::WrongObject, format!("database \"{name}\" is not empty"))
                .detail(format!("Tables: {tables}, views: {views}, models: {models}."))
                .hint("Add CASCADE, or drop what it holds first."));
        }
        self.databases.remove(&lower);
        Ok(())
    }

    /// The key of an object to write: its name is usable and its database exists.
    fn new_key(&self, what: &str, database: &str, name: &str) -> Result<ObjectKey> {
        check_name(what, name)?;
        self.database(database)?;
        Ok(ObjectKey::new(database, name))
    }

    /// Refuses to lose the last administrator: nobody could make another one.
    fn keep_an_administrator(&self, leaving: &str) -> Result<()> {
        let is_admin = self.users.get(leaving).is_some_and(|user| user.admin);
        if is_admin && !self.users.values().any(|user| user.admin && user.name != leaving) {
            return Err(Error::new(Code::WrongObject, format!("user \"{leaving}\" is the last administrator"))
                .hint("Make another user an administrator first."));
        }
        Ok(())
    }
}
