//! A bucket as an object store: every key checked against the configured prefix, requests bounded in time.
//!
//! `object_store`'s own client does the requests. What it would look up by itself (environment, profiles, metadata
//! services) is never asked: keys come from the configuration, or requests are not signed.

use super::Access;
use crate::config::BucketConfig;
use crate::error::{Code, Error as WeirError};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path as StorePath;
use object_store::{
    BackoffConfig, ClientOptions, CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, RetryConfig,
};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

const STORE: &str = "S3";
/// A server that does not answer a connection for this long is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request with its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// A request is tried again so often, and not after this time.
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_DELAY: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone)]
pub struct BucketStore {
    inner: Arc<dyn ObjectStore>,
    bucket: String,
    prefix: StorePath,
    writable: bool,
}

/// Without the client: it would show its keys.
impl std::fmt::Debug for BucketStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("BucketStore");
        shown.field("bucket", &self.bucket).field("prefix", &self.prefix.as_ref()).field("writable", &self.writable);
        shown.finish_non_exhaustive()
    }
}

impl std::fmt::Display for BucketStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketStore({})", self.bucket)
    }
}

impl BucketStore {
    /// The client of a configured bucket; nothing is sent.
    pub(super) fn connect(config: &BucketConfig) -> crate::error::Result<Self> {
        let backoff = BackoffConfig { init_backoff: RETRY_DELAY, max_backoff: RETRY_DELAY_MAX, base: 2.0 };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_virtual_hosted_style_request(!config.path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT })
            .with_client_options(
                ClientOptions::new().with_allow_http(config.allow_http).with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT),
            );
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(match (config.path_style, endpoint.split_once("://")) {
                (false, Some((scheme, host))) => format!("{scheme}://{}.{host}", config.bucket),
                _ => endpoint.clone(),
            });
        }
        builder = match &config.keys {
            Some(keys) => builder.with_access_key_id(keys.access_key.expose()).with_secret_access_key(keys.secret_key.expose()),
            None => builder.with_skip_signature(true),
        };
        let client = builder.build().map_err(|error| {
            WeirError::new(Code::InvalidParameter, format!("bucket \"{}\" cannot be used", config.bucket)).detail(format!("{error}."))
        })?;
        Self::over(Arc::new(client), config)
    }

    /// The rules of a configured bucket over any store.
    pub(super) fn over(inner: Arc<dyn ObjectStore>, config: &BucketConfig) -> crate::error::Result<Self> {
        let prefix = StorePath::parse(&config.prefix).map_err(|error| {
            WeirError::new(Code::InvalidParameter, format!("prefix \"{}\" of bucket \"{}\": {error}", config.prefix, config.bucket))
        })?;
        Ok(Self { inner, bucket: config.bucket.clone(), prefix, writable: config.writable })
    }

    /// The prefix below which keys may lie; empty for the whole bucket.
    pub(super) fn prefix(&self) -> &StorePath {
        &self.prefix
    }

    /// Whether keys may be written.
    pub(super) fn is_writable(&self) -> bool {
        self.writable
    }

    fn check(&self, key: &StorePath, access: Access) -> Result<()> {
        let refuse = |what: &str| {
            let error = WeirError::new(Code::ForbiddenLocation, format!("location \"s3://{}/{key}\" is {what}", self.bucket));
            Err(Error::Generic { store: STORE, source: Box::new(error) })
        };
        match access {
            _ if !key.prefix_matches(&self.prefix) => refuse("outside the allowed roots"),
            Access::Write if !self.writable => refuse("in a read-only root"),
            Access::Read | Access::Write => Ok(()),
        }
    }

    /// The prefix to list.
    fn listed(&self, prefix: Option<&StorePath>) -> Result<()> {
        self.check(prefix.unwrap_or(&StorePath::default()), Access::Read)
    }
}

fn failed(error: Error) -> BoxStream<'static, Result<ObjectMeta>> {
    stream::once(async move { Err(error) }).boxed()
}

#[async_trait::async_trait]
impl ObjectStore for BucketStore {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check(location, Access::Write)?;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(&self, location: &StorePath, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check(location, Access::Write)?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> Result<GetResult> {
        self.check(location, Access::Read)?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(location, Access::Read)?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<StorePath>>) -> BoxStream<'static, Result<StorePath>> {
        let rules = self.clone();
        let checked = locations.map(move |location| location.and_then(|location| rules.check(&location, Access::Write).map(|()| location)));
        self.inner.delete_stream(checked.boxed())
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.listed(prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => failed(error),
        }
    }

    fn list_with_offset(&self, prefix: Option<&StorePath>, offset: &StorePath) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.listed(prefix) {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => failed(error),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> Result<ListResult> {
        self.listed(prefix)?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> Result<()> {
        self.check(from, Access::Read)?;
        self.check(to, Access::Write)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &StorePath, to: &StorePath, options: RenameOptions) -> Result<()> {
        self.check(from, Access::Write)?;
        self.check(to, Access::Write)?;
        self.inner.rename_opts(from, to, options).await
    }
}
