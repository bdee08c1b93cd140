//! The tables of the statement that is being planned, as the engine asks for them.

use crate::catalog::CATALOG;
use crate::engine::planning::{Planning, TARGET, relation_names};
use crate::parser::ML_STAND_IN;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use futures::future::BoxFuture;
use std::future::Future;
use std::sync::Arc;

tokio::task_local! {
    /// The statement, or the view inside it, whose names are looked up.
    static PLANNING: Planning;
}

/// The one list of catalogs of all states: it answers for the statement that asks. One of each statement's own would need
/// a copy of its state.
#[derive(Debug)]
pub struct StatementCatalogs;

impl CatalogProviderList for StatementCatalogs {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }
    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.into()]
    }
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        let planning = PLANNING.try_with(Planning::clone).ok().filter(|_| name.eq_ignore_ascii_case(CATALOG))?;
        Some(Arc::new(StatementCatalog(planning)))
    }
}

/// The catalog of one planning.
#[derive(Debug, Clone)]
pub struct StatementCatalog(Planning);

impl StatementCatalog {
    /// Runs work of the engine that looks up names: those of `planning`.
    pub fn of<T>(planning: Planning, work: impl Future<Output = T>) -> impl Future<Output = T> {
        PLANNING.scope(planning, work)
    }
}

impl CatalogProvider for StatementCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.0.snapshot().databases.keys().cloned().collect()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(StatementSchema { planning: self.0.clone(), database: name.to_owned() }))
    }
}

#[derive(Debug)]
struct StatementSchema {
    planning: Planning,
    database: String,
}

impl StatementSchema {
    fn find<'a>(&'a self, name: &'a str) -> BoxFuture<'a, datafusion::error::Result<Option<Arc<dyn TableProvider>>>> {
        Box::pin(async move {
            let parts = if name.starts_with(ML_STAND_IN) || name == TARGET {
                vec![name.to_owned()]
            } else {
                vec![self.database.clone(), name.to_owned()]
            };
            Ok(self.planning.provider(&parts).await?)
        })
    }
}

impl SchemaProvider for StatementSchema {
    fn table_names(&self) -> Vec<String> {
        relation_names(self.planning.snapshot(), &self.database).into_iter().map(str::to_lowercase).collect()
    }
    // Without `async_trait`: its clauses keep the compiler from remembering what it proved of the fields (ARCHITECTURE.md).
    fn table<'life0, 'life1, 'async_trait>(
        &'life0 self,
        name: &'life1 str,
    ) -> BoxFuture<'async_trait, datafusion::error::Result<Option<Arc<dyn TableProvider>>>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.find(name)
    }
    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}
