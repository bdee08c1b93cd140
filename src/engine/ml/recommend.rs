//! `ML.RECOMMEND(MODEL m [, TABLE t | (query)] [, STRUCT(..)])`: the best items of many users.

use super::MlTable;
use crate::error::{Code, Error, Result};
use crate::models::TrainedModel;
use datafusion::catalog::TableProvider;
use std::sync::Arc;

impl MlTable<'_> {
    /// The best items of the users of a query; without one, of all users.
    pub(super) async fn recommend(&self, model: TrainedModel) -> Result<Arc<dyn TableProvider>> {
        let _ = (model, self.count("top_k", 1)?, self.flag("exclude_seen")?);
        Err(Error::new(Code::NotSupported, "ML.RECOMMEND is not supported yet"))
    }
}
