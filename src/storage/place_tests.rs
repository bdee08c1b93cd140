//! Places of tables: what reaches a bucket, and what a bucket's store lets through.

use super::*;
use crate::config::{BucketConfig, BucketKeys, Secret};
use crate::error::Code;
use futures::TryStreamExt;
use object_store::path::Path as StorePath;
use object_store::{ObjectStoreExt, PutMode, PutOptions};

fn bucket(name: &str, prefix: &str, writable: bool) -> BucketConfig {
    BucketConfig {
        bucket: name.into(),
        prefix: prefix.into(),
        endpoint: Some("http://127.0.0.1:1".into()),
        region: "us-east-1".into(),
        keys: Some(BucketKeys { access_key: Secret::new("access-canary"), secret_key: Secret::new("secret-canary") }),
        path_style: true,
        allow_http: true,
        writable,
    }
}

/// `lake` below `a/b`, the whole of `open`, and `shared` for reading.
fn storage() -> (tempfile::TempDir, Arc<Storage>) {
    let top = tempfile::tempdir().unwrap();
    let buckets = [bucket("lake", "a/b", true), bucket("open", "", true), bucket("shared", "", false)];
    let storage = Storage::open_in_memory(&top.path().join("warehouse"), &buckets).unwrap();
    (top, storage)
}

#[test]
fn places_that_are_refused() {
    let (_top, storage) = storage();
    let long = format!("s3://open/{}", "n".repeat(1_000));
    let cases: &[(&str, Code)] = &[
        ("s3://other-bucket/t", Code::ForbiddenLocation),
        ("s3://lake", Code::ForbiddenLocation),
        ("s3://lake/", Code::ForbiddenLocation),
        ("s3://lake/t", Code::ForbiddenLocation),
        ("s3://lake/a", Code::ForbiddenLocation),
        ("s3://lake/a/bc/t", Code::ForbiddenLocation),
        ("s3://lake/a/b", Code::ForbiddenLocation),
        ("s3://lake/../x", Code::ForbiddenLocation),
        ("s3://lake/a/b/../../x", Code::ForbiddenLocation),
        ("s3://lake/a/b/..", Code::ForbiddenLocation),
        ("s3://lake/a/b/./t", Code::ForbiddenLocation),
        ("s3://lake/a/b//t", Code::ForbiddenLocation),
        ("s3://lake//a/b/t", Code::ForbiddenLocation),
        ("s3://lake/a/b/t//", Code::ForbiddenLocation),
        ("s3://lake/a/b/%2e%2e/t", Code::ForbiddenLocation),
        ("s3://lake/a%2Fb/t", Code::ForbiddenLocation),
        ("s3://lake/a/b\\t", Code::ForbiddenLocation),
        ("s3://lake/a/b/t#fragment", Code::ForbiddenLocation),
        ("s3://lake/a/b/t?versionId=1", Code::InvalidParameter),
        ("s3://lake/a/b/*", Code::InvalidParameter),
        ("s3://lake/a/b/{x,y}", Code::InvalidParameter),
        ("s3://lake/a/b/t\n", Code::ForbiddenLocation),
        ("s3://LAKE/a/b/t", Code::ForbiddenLocation),
        ("s3://lake:9000/a/b/t", Code::ForbiddenLocation),
        ("s3://lake.s3.amazonaws.com/a/b/t", Code::ForbiddenLocation),
        ("s3:///lake/a/b/t", Code::ForbiddenLocation),
        ("s3://", Code::ForbiddenLocation),
        ("s3://open", Code::ForbiddenLocation),
        ("s3://open/", Code::ForbiddenLocation),
        ("s3://shared/t", Code::ForbiddenLocation),
        (&long, Code::InvalidParameter),
        ("s3:/open/t", Code::NotSupported),
        ("gs://open/t", Code::NotSupported),
        ("abfs://open/t", Code::NotSupported),
        ("http://127.0.0.1:1/open/t", Code::NotSupported),
        ("weir://local/etc", Code::NotSupported),
        ("/etc", Code::ForbiddenLocation),
        ("", Code::InvalidParameter),
        ("t/*", Code::InvalidParameter),
        (".", Code::ForbiddenLocation),
    ];
    for (text, code) in cases {
        match storage.place(text, Access::Write) {
            Ok(place) => panic!("{text:?} was taken as {place:?}"),
            Err(error) => assert_eq!(error.code, *code, "{text:?}: {error}"),
        }
    }
    for keys in ["access-canary:secret-canary", "access-canary:secret/canary"] {
        let error = storage.place(&format!("s3://{keys}@lake/a/b/t"), Access::Read).unwrap_err();
        assert_eq!(error.code, Code::ForbiddenLocation);
        assert!(!error.one_line().contains("canary"), "{}", error.one_line());
    }
    let error = storage.place("s3://other/t", Access::Write).unwrap_err();
    assert!(error.hint.unwrap().contains("\"s3://lake/a/b\""));
    let error = storage.location("s3://lake/a/b/x.csv", Access::Read).unwrap_err();
    assert!(error.hint.unwrap().contains("STORED AS DELTA"), "files in buckets are not tables of other formats");
}

#[test]
fn places_that_are_taken() {
    let (top, storage) = storage();
    for (text, canonical, path) in [
        ("s3://lake/a/b/t", "s3://lake/a/b/t", "a/b/t"),
        ("s3://lake/a/b/t/", "s3://lake/a/b/t", "a/b/t"),
        ("S3A://lake/a/b/d/t", "s3://lake/a/b/d/t", "a/b/d/t"),
        ("s3://open/été x/=1", "s3://open/été x/=1", "été x/=1"),
    ] {
        let taken = storage.place(text, Access::Write).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(taken.text(), canonical, "{text}");
        let Place::Bucket(place) = &taken else { panic!("{text} is not in a bucket") };
        assert_eq!(place.path.to_string(), path, "{text}");
        assert_eq!(StorePath::from_url_path(place.url.path()).unwrap(), place.path, "{text}: the URL says the same");
        assert!(place.url.as_str().ends_with('/'));
        assert_eq!(storage.place(&taken.text(), Access::Write).unwrap().text(), canonical, "{text}: taken back");
        let stored = storage.registry().get_store(place.store_url.as_ref()).unwrap();
        assert_eq!(stored.to_string(), place.store.to_string());
    }
    assert_eq!(storage.place("s3://shared/t", Access::Read).unwrap().text(), "s3://shared/t");
    let local = top.path().canonicalize().unwrap().join("warehouse/t");
    assert_eq!(storage.place("t", Access::Write).unwrap().text(), local.display().to_string());
}

#[test]
fn places_overlap_by_whole_names() {
    let (_top, storage) = storage();
    let place = |text: &str| storage.place(text, Access::Read).unwrap();
    for (one, other, expected) in [
        ("s3://open/t", "s3://open/t", true),
        ("s3://open/t", "s3://open/t/u", true),
        ("s3://open/t/u", "s3://open/t", true),
        ("s3://open/t", "s3://open/tt", false),
        ("s3://open/t", "s3://shared/t", false),
        ("s3://open/t", "t", false),
        ("d/t", "d", true),
        ("d/t", "d/tt", false),
    ] {
        assert_eq!(place(one).overlaps(&place(other)), expected, "{one} {other}");
    }
}

#[tokio::test]
async fn the_store_of_a_bucket_keeps_to_its_prefix_and_to_reading() {
    let (_top, storage) = storage();
    let store = |name: &str| storage.registry().get_store(&url::Url::parse(&format!("s3://{name}")).unwrap()).unwrap();
    let key = |text: &str| StorePath::parse(text).unwrap();
    let (lake, shared) = (store("lake"), store("shared"));
    let create = || PutOptions::from(PutMode::Create);
    lake.put_opts(&key("a/b/t/1"), "one".into(), create()).await.unwrap();
    let error = lake.put_opts(&key("a/b/t/1"), "two".into(), create()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    assert_eq!(lake.get(&key("a/b/t/1")).await.unwrap().bytes().await.unwrap().as_ref(), b"one");
    let listed: Vec<_> = lake.list(Some(&key("a/b"))).map_ok(|object| object.location).try_collect().await.unwrap();
    assert_eq!(listed, [key("a/b/t/1")]);
    for outside in ["a", "a/bc/1", "x", "a/1"] {
        let path = key(outside);
        assert!(lake.get(&path).await.is_err() && lake.head(&path).await.is_err(), "{outside} was read");
        assert!(lake.get_range(&path, 0..1).await.is_err(), "{outside} was read");
        assert!(lake.put(&path, "x".into()).await.is_err() && lake.put_multipart(&path).await.is_err(), "{outside} was written");
        assert!(lake.delete(&path).await.is_err(), "{outside} was deleted");
        assert!(
            lake.copy(&key("a/b/t/1"), &path).await.is_err() && lake.copy(&path, &key("a/b/t/2")).await.is_err(),
            "{outside} was copied"
        );
        assert!(lake.rename(&key("a/b/t/1"), &path).await.is_err(), "{outside} was written");
        assert!(lake.list(Some(&path)).try_collect::<Vec<_>>().await.is_err(), "{outside} was listed");
        assert!(lake.list_with_delimiter(Some(&path)).await.is_err(), "{outside} was listed");
    }
    assert!(lake.list(None).try_collect::<Vec<_>>().await.is_err() && lake.list_with_delimiter(None).await.is_err());
    assert!(shared.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
    let error = shared.put(&key("t/1"), "x".into()).await.unwrap_err();
    assert!(error.to_string().contains("read-only") || format!("{error:?}").contains("read-only"), "{error}");
    assert!(shared.delete(&key("t/1")).await.is_err());
}

#[tokio::test]
async fn a_place_is_empty_until_something_lies_in_it() {
    let (top, storage) = storage();
    for text in ["s3://open/t", "t"] {
        let place = storage.place(text, Access::Write).unwrap();
        assert!(storage.is_empty(&place).await.unwrap(), "{text}");
        match &place {
            Place::Local(directory) => durable::create_file(&directory.join(".hidden"), b"1").unwrap(),
            Place::Bucket(place) => drop(place.store.put(&place.path.clone().join("x"), "1".into()).await.unwrap()),
        }
        assert!(!storage.is_empty(&place).await.unwrap(), "{text}");
    }
    assert!(storage.is_empty(&storage.place("s3://open/tt", Access::Write).unwrap()).await.unwrap());
    drop(top);
}

#[tokio::test]
async fn a_server_that_is_away_is_an_error_without_keys_in_it() {
    let top = tempfile::tempdir().unwrap();
    // Nobody listens on port 1.
    let storage = Storage::open_with_buckets(top.path(), Vec::new(), &[bucket("lake", "", true)]).unwrap();
    assert!(!format!("{storage:?}").contains("secret-canary"), "{storage:?}");
    let place = storage.place("s3://lake/t", Access::Write).unwrap();
    let error = storage.is_empty(&place).await.unwrap_err();
    assert_eq!(error.code, Code::Io);
    assert!(!error.one_line().contains("canary"), "{}", error.one_line());
    for foreign in ["s3://other", "s3://lake:9000", "s3://u@lake", "s3a://lake", "http://lake"] {
        assert!(storage.registry().get_store(&url::Url::parse(foreign).unwrap()).is_err(), "{foreign} has a store");
    }
}
