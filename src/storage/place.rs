//! Where a table's directory lies: on this machine, or in a bucket.

use super::bucket::BucketStore;
use super::durable::{self, AtPath};
use super::{Access, Storage};
use crate::error::{Code, Error, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::path::Path as StorePath;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// A key of S3 has at most this many bytes; the names of a table's files take some of them.
const KEY_BYTES_MAX: usize = 768;

/// The checked directory of a table.
#[derive(Debug, Clone)]
pub enum Place {
    /// Resolved, inside a root.
    Local(PathBuf),
    /// Below the prefix of a configured bucket.
    Bucket(BucketPlace),
}

/// A directory in a bucket.
#[derive(Debug, Clone)]
pub struct BucketPlace {
    /// The directory with a final slash, as the log of a table knows itself.
    pub url: Url,
    /// The same as a path of the store.
    pub path: StorePath,
    /// The whole bucket; refuses keys outside of the configured prefix.
    pub store: Arc<dyn ObjectStore>,
    /// Under which the query engine knows the store.
    pub store_url: ObjectStoreUrl,
}

impl Place {
    /// As the catalog keeps it and users see it; [`Storage::place`] takes it back.
    pub fn text(&self) -> String {
        match self {
            Self::Local(directory) => directory.display().to_string(),
            Self::Bucket(place) => format!("{}{}", place.store_url, place.path),
        }
    }

    /// True when one directory is the other, or lies in it.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(one), Self::Local(other)) => one.starts_with(other) || other.starts_with(one),
            (Self::Bucket(one), Self::Bucket(other)) => {
                one.store_url == other.store_url && (one.path.prefix_matches(&other.path) || other.path.prefix_matches(&one.path))
            }
            _ => false,
        }
    }
}

/// A directory that weir made or checked before; its store checks it again at every access.
impl From<&Path> for Place {
    fn from(directory: &Path) -> Self {
        Self::Local(directory.to_path_buf())
    }
}

impl From<&PathBuf> for Place {
    fn from(directory: &PathBuf) -> Self {
        Self::Local(directory.clone())
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

impl BucketPlace {
    /// A directory of a store that the query engine knows as `store_url`.
    pub fn new(store: Arc<dyn ObjectStore>, store_url: ObjectStoreUrl, path: StorePath) -> Self {
        Self { url: url(&store_url, &path), path, store, store_url }
    }

    /// Deletes everything in the directory.
    pub async fn remove(&self) -> Result<()> {
        let found = self.store.list(Some(&self.path)).map_ok(|object| object.location).boxed();
        let deleted = self.store.delete_stream(found).try_for_each(async |_| Ok(())).await;
        deleted.map_err(|error| Error::new(Code::Io, format!("could not remove \"{}\": {error}", self.url)))
    }
}

/// `s3://bucket/a%20b/`.
fn url(store: &ObjectStoreUrl, path: &StorePath) -> Url {
    let store: &Url = store.as_ref();
    let mut url = store.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(path.parts().map(|part| part.as_ref().to_owned())).push("");
    }
    url
}

/// True for the text of a location in a bucket, right or wrong.
pub fn is_bucket_text(text: &str) -> bool {
    bucket_and_key(text).is_some()
}

/// `s3://bucket/key`, also as Hadoop spells the scheme.
fn bucket_and_key(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_s3 = ["s3", "s3a", "s3n"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_s3.then(|| rest.split_once('/').unwrap_or((rest, "")))
}

/// The buckets of the configuration, by name.
#[derive(Debug, Default)]
pub(super) struct Buckets(pub(super) BTreeMap<String, Arc<BucketStore>>);

impl Buckets {
    /// The store of a URL `s3://bucket`.
    pub fn store(&self, url: &Url) -> Option<Arc<BucketStore>> {
        let is_bucket = url.scheme() == "s3" && url.username().is_empty() && url.password().is_none() && url.port().is_none();
        is_bucket.then(|| self.0.get(url.host_str()?).cloned()).flatten()
    }

    /// Checks the text of a location in a bucket.
    fn place(&self, text: &str, access: Access) -> Result<BucketPlace> {
        let Some((bucket, key)) = bucket_and_key(text) else { return Err(Error::internal("a location of no bucket")) };
        // What stands before an @ may be a password, so this location is not repeated. A password may have slashes in it:
        // then only the colon before it is seen here.
        if bucket.contains(['@', ':']) {
            return Err(Error::new(Code::ForbiddenLocation, "a location of a bucket cannot have keys or a port in it")
                .hint("Write s3://bucket/directory; keys and endpoint belong into the server's configuration (storage.s3)."));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::new(Code::ForbiddenLocation, format!("location {text:?} has control characters")));
        }
        let Some(store) = self.0.get(bucket) else { return Err(self.refuse(text)) };
        let key = key.strip_suffix('/').unwrap_or(key);
        if key.contains(['*', '?', '[', '{']) {
            return Err(Error::new(Code::InvalidParameter, format!("location \"{text}\" is a pattern, not a directory of a table")));
        }
        if key.contains(['%', '#', '\\']) {
            // Other programs read them in different ways: as they are, or as parts of a URL.
            return Err(Error::new(Code::ForbiddenLocation, format!("location \"{text}\" has one of the characters % # \\"))
                .hint("Write names as they are, without signs of a URL."));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::new(Code::InvalidParameter, "location has a key that is too long")
                .detail(format!("The key has {} bytes; a table's may have {KEY_BYTES_MAX}.", key.len())));
        }
        let odd = || Error::new(Code::ForbiddenLocation, format!("location \"{text}\" has an empty name, \".\" or \"..\" in it"));
        // A key is taken as it is, or not at all.
        if key.starts_with('/') || key.ends_with('/') {
            return Err(odd());
        }
        let path = StorePath::parse(key).map_err(|_| odd())?;
        if !path.prefix_matches(store.prefix()) {
            return Err(self.refuse(text));
        }
        if access == Access::Write && path == *store.prefix() {
            return Err(Error::new(Code::ForbiddenLocation, format!("location \"{text}\" itself cannot be a table"))
                .hint("Name a directory under it."));
        }
        if access == Access::Write && !store.is_writable() {
            return Err(Error::new(Code::ForbiddenLocation, format!("location \"{text}\" is in a read-only bucket"))
                .hint("The server's configuration can make it \"writable\" (storage.s3)."));
        }
        let store_url = ObjectStoreUrl::parse(format!("s3://{bucket}"))
            .map_err(|error| Error::internal(format!("URL of bucket \"{bucket}\": {error}")))?;
        Ok(BucketPlace::new(Arc::clone(store) as Arc<dyn ObjectStore>, store_url, path))
    }

    fn refuse(&self, text: &str) -> Error {
        let error = Error::new(Code::ForbiddenLocation, format!("location \"{text}\" is outside the allowed buckets"));
        let allowed = self.0.iter().map(|(bucket, store)| format!("\"s3://{bucket}/{}\"", store.prefix())).collect::<Vec<_>>();
        error.hint(match allowed.is_empty() {
            true => "Buckets are allowed by the server's configuration (storage.s3).".into(),
            false => format!("Use a location under {}.", allowed.join(", ")),
        })
    }
}

impl Storage {
    /// Checks where a table shall lie or lies: a directory of this machine as [`Storage::location`] takes it, or
    /// `s3://bucket/directory` in a configured bucket.
    pub fn place(&self, text: &str, access: Access) -> Result<Place> {
        if is_bucket_text(text) {
            return self.buckets.place(text, access).map(Place::Bucket);
        }
        let location = self.location(text, access)?;
        if location.glob.is_some() || !location.is_directory {
            let what = if location.glob.is_some() { "a pattern" } else { "a file" };
            return Err(Error::new(Code::InvalidParameter, format!("location \"{text}\" is {what}, not a directory of a table")));
        }
        Ok(Place::Local(location.local))
    }

    /// True when nothing is in a place: no file, also no hidden one.
    pub async fn is_empty(&self, place: &Place) -> Result<bool> {
        match place {
            Place::Local(directory) => {
                let directory = directory.clone();
                durable::blocking(move || match std::fs::read_dir(&directory) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
                    entries => entries.at("read directory", &directory).map(|mut entries| entries.next().is_none()),
                })
                .await
            }
            Place::Bucket(place) => match place.store.list(Some(&place.path)).next().await {
                None => Ok(true),
                Some(Ok(_)) => Ok(false),
                Some(Err(error)) => Err(Error::new(Code::Io, format!("could not list \"{}\": {error}", place.url))),
            },
        }
    }
}
