//! The stores that the query engine may find: ours, and no other.

use super::place::Buckets;
use super::store::DurableLocal;
use crate::error::{Code, Error};
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use std::sync::Arc;
use url::Url;

/// The scheme of [`super::Storage::store_url`]. Not `file`: nothing that builds a file URL gets around the roots.
pub(super) const SCHEME: &str = "weir";
pub(super) const URL: &str = "weir://local";

/// See the module.
#[derive(Debug)]
pub struct Registry {
    pub(super) store: Arc<DurableLocal>,
    /// Known as `s3://bucket`.
    pub(super) buckets: Arc<Buckets>,
}

impl ObjectStoreRegistry for Registry {
    fn register_store(&self, url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        // The trait has no way to say no. A store that was not taken is not found later either.
        tracing::error!(%url, "a foreign object store was offered and not taken");
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match self.buckets.store(url) {
            _ if url.scheme() == SCHEME && url.host_str() == Some("local") => Ok(Arc::clone(&self.store) as Arc<dyn ObjectStore>),
            Some(bucket) => Ok(bucket as Arc<dyn ObjectStore>),
            None => Err(Error::new(Code::ForbiddenLocation, format!("there is no store for \"{}:\"", url.scheme()))
                .hint("Locations go through the allowed roots.")
                .into()),
        }
    }
}
