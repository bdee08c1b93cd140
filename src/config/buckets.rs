//! `[[storage.s3]]`: the buckets of S3-compatible stores that SQL may reach, each with its own keys.
//!
//! Only what stands here counts: no environment of the AWS tools, no profile, no metadata service.

use super::{Secret, bag};
use std::collections::BTreeMap;
use std::path::Path;
use url::{Host, Url};

/// A bucket that SQL may reach, or the part of it below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketConfig {
    pub bucket: String,
    /// Keys below it only; without slashes at its ends, empty for the whole bucket.
    pub prefix: String,
    /// Scheme, host and port of the server; `None` for Amazon's.
    pub endpoint: Option<String>,
    pub region: String,
    /// `None`: requests are not signed, as for public buckets.
    pub keys: Option<BucketKeys>,
    /// The bucket stands in the path, not in the name of the host.
    pub path_style: bool,
    /// Without TLS.
    pub allow_http: bool,
    pub writable: bool,
}

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketKeys {
    pub access_key: Secret,
    pub secret_key: Secret,
}

/// The keys of an entry.
const NAMES: &[&str] = &[
    "bucket",
    "prefix",
    "endpoint",
    "region",
    "access_key_env",
    "access_key_file",
    "secret_key_env",
    "secret_key_file",
    "path_style",
    "allow_http",
    "writable",
];

/// Checks one entry; the mistake is a fragment after `"storage.s3"`.
pub(super) fn bucket(mut entry: BTreeMap<String, String>, directory: Option<&Path>) -> Result<BucketConfig, String> {
    if let Some(unknown) = entry.keys().find(|key| !NAMES.contains(&key.as_str())) {
        let near = crate::error::nearest(unknown, NAMES.iter().copied());
        let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
        return Err(format!("has an entry with an unknown key \"{unknown}\"{near}"));
    }
    let bucket = entry.remove("bucket").ok_or("has an entry without \"bucket\"")?;
    check_name(&bucket)?;
    // From here on a mistake names the bucket it is about.
    rest(entry, directory, &bucket).map_err(|what| format!("of the bucket \"{bucket}\" {what}"))
}

fn rest(mut entry: BTreeMap<String, String>, directory: Option<&Path>, bucket: &str) -> Result<BucketConfig, String> {
    let mut flag = |key: &str, fallback: bool| match entry.remove(key).as_deref() {
        None => Ok(fallback),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(format!("expects \"{key}\" to be true or false, found \"{other}\"")),
    };
    let (path_style, writable) = (flag("path_style", true)?, flag("writable", false)?);
    let wants_http = flag("allow_http", false)?;
    let access_key = secret(&mut entry, "access_key", directory)?;
    let secret_key = secret(&mut entry, "secret_key", directory)?;
    let keys = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Some(BucketKeys { access_key, secret_key }),
        (None, None) => None,
        (Some(_), None) => return Err("has an access key and needs \"secret_key_env\" or \"secret_key_file\" too".into()),
        (None, Some(_)) => return Err("has a secret key and needs \"access_key_env\" or \"access_key_file\" too".into()),
    };
    let endpoint = entry.remove("endpoint").filter(|text| !text.is_empty()).map(|text| endpoint(&text, wants_http)).transpose()?;
    Ok(BucketConfig {
        bucket: bucket.to_owned(),
        prefix: prefix(entry.remove("prefix").unwrap_or_default())?,
        allow_http: endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http"),
        endpoint: endpoint.map(|url| url.as_str().trim_end_matches('/').to_owned()),
        region: entry.remove("region").filter(|region| !region.is_empty()).unwrap_or_else(|| "us-east-1".into()),
        keys,
        path_style,
        writable,
    })
}

/// The rules of S3 that matter in a URL.
fn check_name(bucket: &str) -> Result<(), String> {
    let is_name = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && bucket.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !bucket.contains("..");
    match is_name {
        true => Ok(()),
        false => Err(format!("has an entry with the bucket \"{bucket}\": expects 3 to 63 lower-case letters, digits, hyphens and dots")),
    }
}

fn prefix(text: String) -> Result<String, String> {
    let trimmed = text.trim_matches('/');
    let is_wrong =
        |name: &str| name.is_empty() || name == "." || name == ".." || name.contains(|c: char| c.is_control() || "*?[{%".contains(c));
    match !trimmed.is_empty() && trimmed.split('/').any(is_wrong) {
        true => Err(format!("expects \"prefix\" to be plain names with slashes between them, found \"{text}\"")),
        false => Ok(trimmed.to_owned()),
    }
}

fn endpoint(text: &str, wants_http: bool) -> Result<Url, String> {
    let expected = || "expects \"endpoint\" to be a URL of scheme, host and port, such as \"https://s3.example.org\"".to_owned();
    // What was found is not shown: it may have a password in it.
    let url = Url::parse(text).map_err(|_| expected())?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    if !is_plain {
        return Err(expected());
    }
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => return Err(expected()),
    };
    match url.scheme() == "http" && !is_loopback && !wants_http {
        true => Err("has an \"endpoint\" without TLS on another machine: use https, or set \"allow_http\" to true".into()),
        false => Ok(url),
    }
}

/// The value of `<name>_env` or `<name>_file`; no message shows it.
fn secret(entry: &mut BTreeMap<String, String>, name: &str, directory: Option<&Path>) -> Result<Option<Secret>, String> {
    let mut take = |key: &str| entry.remove(key).filter(|text| !text.is_empty());
    let (env_key, file_key) = (format!("{name}_env"), format!("{name}_file"));
    let value = match (take(&env_key), take(&file_key)) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(format!("has both \"{env_key}\" and \"{file_key}\"")),
        (Some(variable), None) => std::env::var(&variable)
            .map_err(|_| format!("names the environment variable \"{variable}\" in \"{env_key}\", which is not set"))?,
        (None, Some(file)) => {
            let path = bag::absolute(Path::new(&file), directory);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("has the \"{file_key}\" \"{}\": could not read it: {error}", path.display()))?
        }
    };
    match value.trim() {
        "" => Err(format!("has an empty secret behind \"{name}\"")),
        value => Ok(Some(Secret::new(value))),
    }
}
