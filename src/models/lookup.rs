//! Models by the name written in SQL, in one snapshot of the catalog.

use super::{Models, RecommenderModel, TrainedModel};
use crate::catalog::{CATALOG, Model, ObjectKey, Snapshot};
use crate::error::{Code, Error, Result};
use datafusion::common::Result as QueryResult;
use std::sync::Arc;
use weir_functions::{ModelLookup, Recommender};

/// What the SQL functions of one statement see of the models.
#[derive(Debug, Clone)]
pub struct CatalogLookup {
    pub models: Arc<Models>,
    pub snapshot: Arc<Snapshot>,
    /// Where an unqualified name is looked up.
    pub current_database: String,
}

impl CatalogLookup {
    /// The definition of `m`, `db.m` or `weir.db.m`; names are compared without case, and may be quoted.
    pub fn definition(&self, name: &str) -> Result<&Arc<Model>> {
        let unquote = |part: &str| part.trim().trim_matches(['"', '`']).to_owned();
        // A model's own name may contain a dot: the whole name in the current database goes first.
        let whole = ObjectKey::new(&self.current_database, &unquote(name));
        let in_catalog = match name.split_once('.') {
            Some((catalog, rest)) if rest.contains('.') && unquote(catalog).eq_ignore_ascii_case(CATALOG) => rest,
            _ => name,
        };
        let qualified = in_catalog.split_once('.').map(|(database, model)| ObjectKey::new(&unquote(database), &unquote(model)));
        if let Some(model) = self.snapshot.models.get(&whole).or_else(|| self.snapshot.models.get(qualified.as_ref()?)) {
            return Ok(model);
        }
        let missing = qualified.unwrap_or(whole);
        let known = self.snapshot.models.iter().filter(|(key, _)| key.database == missing.database).map(|(_, model)| model.name.as_str());
        Err(Error::unknown(Code::UndefinedObject, format!("model \"{name}\" does not exist"), &missing.name, known))
    }

    /// The default version of a recommender, loaded.
    pub fn recommender_model(&self, name: &str) -> Result<Arc<RecommenderModel>> {
        let model = self.definition(name)?;
        match self.models.load(model, model.default_version)?.model {
            TrainedModel::Recommender(recommender) => Ok(recommender),
            TrainedModel::Predictor(_) => {
                let what = format!("model \"{name}\" is of type {}, not a recommender", model.training.model_type);
                Err(Error::new(Code::WrongObject, what).hint("Apply it with ML.PREDICT(MODEL m, TABLE t)."))
            }
        }
    }
}

impl ModelLookup for CatalogLookup {
    fn recommender(&self, name: &str) -> QueryResult<Arc<dyn Recommender>> {
        Ok(self.recommender_model(name)?)
    }
}
