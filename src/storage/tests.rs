//! Spellings of locations, the store under the roots, listings.

use super::*;
use crate::error::Code;
use futures::TryStreamExt;
use object_store::{CopyMode, CopyOptions, ObjectStoreExt, PutMode, PutOptions, RenameOptions, RenameTargetMode};
use std::os::unix::fs::symlink;

/// ```text
/// top/warehouse            the warehouse
/// top/real                 root "/data": x.csv, dir/, dir/y.csv, ro/ (root "/data/ro", read-only), links
/// top/plain                root under its own name
/// top/outside/secret.csv   not reachable
/// ```
struct Place {
    top: tempfile::TempDir,
    storage: Arc<Storage>,
}

fn place() -> Place {
    let top = tempfile::tempdir().unwrap();
    let at = |name: &str| top.path().canonicalize().unwrap().join(name);
    for directory in ["real/dir", "real/ro", "plain", "outside", "warehouse/sales", "real/deep/dt=1", "real/#hash#1"] {
        std::fs::create_dir_all(at(directory)).unwrap();
    }
    for file in ["real/x.csv", "real/dir/y.csv", "real/ro/z.csv", "outside/secret.csv", "warehouse/sales/a.csv", "real/a[1].csv"] {
        std::fs::write(at(file), file).unwrap();
    }
    symlink(at("outside"), at("real/link_dir")).unwrap();
    symlink(at("outside/secret.csv"), at("real/link.csv")).unwrap();
    symlink(at("outside/new"), at("real/dangling")).unwrap();
    symlink("../../outside", at("real/dir/up")).unwrap();
    symlink(at("real/circle_b"), at("real/circle_a")).unwrap();
    symlink(at("real/circle_a"), at("real/circle_b")).unwrap();
    symlink(at("real/dir"), at("real/inside")).unwrap();
    symlink("/proc/self", at("real/kernel")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("real/fifo"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let root = |prefix: &str, path: &str, writable| Root { prefix: prefix.into(), path: at(path), writable };
    let plain = at("plain").display().to_string();
    let roots = vec![root("/data", "real", true), root("/data/ro", "real/ro", false), root(&plain, "plain", true)];
    let storage = Storage::open(&at("warehouse"), roots).unwrap();
    Place { top, storage }
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.top.path().canonicalize().unwrap().join(name)
    }
}

const FORBIDDEN: Code = Code::ForbiddenLocation;

#[test]
fn locations_that_are_refused() {
    let place = place();
    let outside = place.at("outside/secret.csv").display().to_string();
    let outside_url = format!("file://{outside}");
    let sibling = format!("{}x/f.csv", place.at("plain").display());
    let long = format!("/data/{}", "n".repeat(300));
    let cases: &[(&str, Code)] = &[
        ("", Code::InvalidParameter),
        ("/", FORBIDDEN),
        ("//", FORBIDDEN),
        ("/etc/passwd", FORBIDDEN),
        ("//etc/passwd", FORBIDDEN),
        ("/./etc/passwd", FORBIDDEN),
        ("/etc", FORBIDDEN),
        ("/no/such/place", FORBIDDEN),
        ("/proc/self/environ", FORBIDDEN),
        ("/proc/self/root/etc/passwd", FORBIDDEN),
        ("/dev/zero", FORBIDDEN),
        ("/dev/stdin", FORBIDDEN),
        ("/sys/kernel", FORBIDDEN),
        ("..", FORBIDDEN),
        ("../", FORBIDDEN),
        ("../outside/secret.csv", FORBIDDEN),
        ("./../outside/secret.csv", FORBIDDEN),
        ("sales/../../outside/secret.csv", FORBIDDEN),
        ("sales/../../../../../../../../etc/passwd", FORBIDDEN),
        ("no/such/../../../outside", FORBIDDEN),
        ("/data/../etc/passwd", FORBIDDEN),
        ("/data/..", FORBIDDEN),
        ("/data/../../../../etc/passwd", FORBIDDEN),
        ("/data/dir/../../outside/secret.csv", FORBIDDEN),
        ("/data/./../outside", FORBIDDEN),
        ("/data//..//outside", FORBIDDEN),
        ("/database/x", FORBIDDEN),
        ("/datax", FORBIDDEN),
        ("/Data/x.csv", FORBIDDEN),
        ("%2e%2e/outside/secret.csv", FORBIDDEN),
        ("%2E%2E/outside/secret.csv", FORBIDDEN),
        (".%2e/outside/secret.csv", FORBIDDEN),
        ("/data/%2e%2e/outside/secret.csv", FORBIDDEN),
        ("/data/%252e%252e/outside", FORBIDDEN),
        ("/data/%25252e%25252e/outside", FORBIDDEN),
        ("/data/%2e/x.csv", FORBIDDEN),
        ("/data/%00", FORBIDDEN),
        ("file:///data/%2e%2e/etc/passwd", FORBIDDEN),
        ("file:///data/%2e%2e%2fetc/passwd", FORBIDDEN),
        ("file:///data/..%2f..%2fetc/passwd", FORBIDDEN),
        ("file:///data/%252e%252e/etc", FORBIDDEN),
        ("file:///data/x%00.csv", FORBIDDEN),
        ("file:///data/x%0a.csv", FORBIDDEN),
        ("file:///data/%ff", Code::InvalidParameter),
        ("file:///etc/passwd", FORBIDDEN),
        ("FILE:///etc/passwd", FORBIDDEN),
        ("file:/etc/passwd", FORBIDDEN),
        ("file:////etc/passwd", FORBIDDEN),
        ("file://localhost/etc/passwd", FORBIDDEN),
        ("file://otherhost/data/x.csv", Code::NotSupported),
        ("file://data/x.csv", Code::NotSupported),
        ("file://..", Code::NotSupported),
        ("file://", Code::InvalidParameter),
        ("file:/", FORBIDDEN),
        ("\0", FORBIDDEN),
        ("/data/x.csv\0.parquet", FORBIDDEN),
        ("/data/x\n.csv", FORBIDDEN),
        ("/data/x\u{1b}[2J", FORBIDDEN),
        ("~", FORBIDDEN),
        ("~/x.csv", FORBIDDEN),
        ("~root/.ssh", FORBIDDEN),
        ("/data/link.csv", FORBIDDEN),
        ("/data/link_dir", FORBIDDEN),
        ("/data/link_dir/", FORBIDDEN),
        ("/data/link_dir/secret.csv", FORBIDDEN),
        ("/data/link_dir/not_yet/t", FORBIDDEN),
        ("/data/link_dir/*.csv", FORBIDDEN),
        ("/data/dir/up/secret.csv", FORBIDDEN),
        ("/data/inside/up/secret.csv", FORBIDDEN),
        ("/data/dangling", FORBIDDEN),
        ("/data/dangling/x/y", FORBIDDEN),
        ("/data/circle_a", FORBIDDEN),
        ("/data/circle_a/x", FORBIDDEN),
        ("/data/kernel/environ", FORBIDDEN),
        ("/data/fifo", FORBIDDEN),
        ("/*/passwd", FORBIDDEN),
        ("/{etc,data}/passwd", FORBIDDEN),
        ("/data/{a,b", Code::InvalidParameter),
        ("/data/[a", Code::InvalidParameter),
        ("/data/x.csv/", Code::Io),
        ("/data/x.csv/y", Code::Io),
        ("/data/x.csv/*.csv", Code::Io),
        ("s3://bucket/x", Code::NotSupported),
        ("S3A://bucket/x", Code::NotSupported),
        ("gs://bucket/x", Code::NotSupported),
        ("abfs://c@a/x", Code::NotSupported),
        ("hdfs://host:8020/x", Code::NotSupported),
        ("hdfs:/x", Code::NotSupported),
        ("http://169.254.169.254/latest/", Code::NotSupported),
        ("https://host/x.csv", Code::NotSupported),
        ("weir://local/etc/passwd", Code::NotSupported),
        (&outside, FORBIDDEN),
        (&outside_url, FORBIDDEN),
        (&sibling, FORBIDDEN),
        (&long, Code::InvalidParameter),
    ];
    assert!(cases.len() >= 60);
    for (text, code) in cases {
        for access in [Access::Read, Access::Write] {
            match place.storage.location(text, access) {
                Ok(location) => panic!("{text:?} was taken as {location:?}"),
                Err(error) => assert_eq!(error.code, *code, "{text:?} ({access:?}): {error}"),
            }
        }
    }
}

#[test]
fn a_refusal_names_the_prefixes_and_not_the_directories() {
    let place = place();
    let error = place.storage.location("/etc/passwd", Access::Read).unwrap_err();
    assert_eq!(error.message, "location \"/etc/passwd\" is outside the allowed roots");
    let hint = error.hint.unwrap();
    assert!(hint.contains("\"/data\"") && hint.contains("\"/data/ro\""), "{hint}");
    assert!(!hint.contains(&place.at("real").display().to_string()), "{hint}");
    let error = place.storage.location("/data/ro/new", Access::Write).unwrap_err();
    assert!(!error.hint.unwrap().contains("/data/ro"));
    let error = place.storage.location("s3://bucket/x", Access::Read).unwrap_err();
    assert_eq!(error.message, "locations with the scheme \"s3\" are not supported");
}

#[test]
fn writing_is_refused_where_reading_is_not() {
    let place = place();
    for (text, code) in [
        ("/data/ro/z.csv", FORBIDDEN),
        ("/data/ro", FORBIDDEN),
        ("/data/ro/new/table", FORBIDDEN),
        (".", FORBIDDEN),
        ("sales/..", FORBIDDEN),
        ("sales/*.csv", Code::InvalidParameter),
    ] {
        place.storage.location(text, Access::Read).unwrap();
        assert_eq!(place.storage.location(text, Access::Write).unwrap_err().code, code, "{text}");
    }
}

#[test]
fn locations_that_are_taken() {
    let place = place();
    let plain = place.at("plain").display().to_string();
    let cases: &[(&str, &str, Option<&str>, bool)] = &[
        ("sales", "warehouse/sales", None, true),
        ("./sales/", "warehouse/sales", None, true),
        ("sales/a.csv", "warehouse/sales/a.csv", None, false),
        ("new/table", "warehouse/new/table", None, true),
        ("sales/*.csv", "warehouse/sales", Some("*.csv"), true),
        ("a b/ü", "warehouse/a b/ü", None, true),
        ("a:b", "warehouse/a:b", None, true),
        ("100%", "warehouse/100%", None, true),
        ("dt=a%2Fb", "warehouse/dt=a%2Fb", None, true),
        ("a..b/...", "warehouse/a..b/...", None, true),
        ("/data", "real", None, true),
        ("/data/", "real", None, true),
        ("/data/x.csv", "real/x.csv", None, false),
        ("//data///x.csv", "real/x.csv", None, false),
        ("/data/dir/../x.csv", "real/x.csv", None, false),
        ("/etc/../data/x.csv", "real/x.csv", None, false),
        ("/data/inside/y.csv", "real/dir/y.csv", None, false),
        ("/data/ro/z.csv", "real/ro/z.csv", None, false),
        ("file:///data/x.csv", "real/x.csv", None, false),
        ("file:/data/x.csv", "real/x.csv", None, false),
        ("FILE://LOCALHOST/data/x.csv", "real/x.csv", None, false),
        ("file:///data/%78.csv", "real/x.csv", None, false),
        ("file:///data/a%20b", "real/a b", None, true),
        ("/data/a[1].csv", "real/a[1].csv", None, false),
        ("/data/a[12].csv", "real", Some("a[12].csv"), true),
        ("/data/*/y?.{csv,json}", "real", Some("*/y?.{csv,json}"), true),
        ("/data/deep/**/*.csv", "real/deep", Some("**/*.csv"), true),
        ("/data/#hash#1", "real/#hash#1", None, true),
        (&plain, "plain", None, true),
    ];
    for (text, local, glob, is_directory) in cases {
        let location = place.storage.location(text, Access::Read).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(location.local, place.at(local), "{text}");
        assert_eq!(location.glob.as_deref(), *glob, "{text}");
        assert_eq!(location.is_directory, *is_directory, "{text}");
        assert_eq!(format!("/{}", location.path), location.local.display().to_string(), "{text}");
        assert_eq!(location.text, *text);
    }
}

#[test]
fn a_checked_path_is_a_location_again() {
    let place = place();
    let location = place.storage.location("/data/dir", Access::Read).unwrap();
    let again = place.storage.location(&location.local.display().to_string(), Access::Read).unwrap();
    assert_eq!(again.local, location.local);
}

#[test]
fn roots_are_checked_when_opened() {
    let top = tempfile::tempdir().unwrap();
    let open = |prefix: &str, path: &Path| {
        let root = Root { prefix: prefix.into(), path: path.into(), writable: true };
        Storage::open(&top.path().join("w"), vec![root.clone(), root]).unwrap_err().code
    };
    assert_eq!(open("data", top.path()), Code::InvalidParameter);
    assert_eq!(open("/data/../..", top.path()), Code::InvalidParameter);
    assert_eq!(open("/data", &top.path().join("missing")), Code::Io);
    assert_eq!(open("/data", top.path()), Code::InvalidParameter, "given twice");
}

fn key(place: &Place, name: &str) -> object_store::path::Path {
    store_path(&place.at(name)).unwrap()
}

#[tokio::test]
async fn the_store_checks_every_operation() {
    let place = place();
    let store = place.storage.store();
    let (outside, inside) = (key(&place, "outside/secret.csv"), key(&place, "real/x.csv"));
    for name in ["outside/secret.csv", "real/link.csv", "real/link_dir/secret.csv", "real/fifo", "real/dangling"] {
        assert!(store.get(&key(&place, name)).await.is_err(), "{name} was read");
        assert!(store.get_range(&key(&place, name), 0..1).await.is_err(), "{name} was read");
        assert!(store.head(&key(&place, name)).await.is_err(), "{name} was seen");
    }
    for name in ["outside/new.csv", "real/link_dir/new.csv", "real/ro/new.csv", "real/dangling/new.csv", "real/dir"] {
        let path = key(&place, name);
        assert!(store.put(&path, "x".into()).await.is_err(), "{name} was written");
        assert!(store.put_multipart(&path).await.is_err(), "{name} was written");
        assert!(store.copy(&inside, &path).await.is_err(), "{name} was written");
        assert!(store.rename(&inside, &path).await.is_err(), "{name} was written");
        assert!(store.delete(&path).await.is_err(), "{name} was removed");
    }
    assert!(store.copy(&outside, &key(&place, "real/copy.csv")).await.is_err());
    assert!(store.rename(&key(&place, "real/ro/z.csv"), &key(&place, "real/z.csv")).await.is_err());
    for name in ["outside", "real/link_dir"] {
        assert!(store.list(Some(&key(&place, name))).try_collect::<Vec<_>>().await.is_err());
        assert!(store.list_with_delimiter(Some(&key(&place, name))).await.is_err());
    }
    assert!(store.list(None).try_collect::<Vec<_>>().await.is_err());
    // A link that the store replaces is replaced itself; its target stays.
    store.put(&key(&place, "real/link.csv"), "mine".into()).await.unwrap();
    assert_eq!(std::fs::read(place.at("outside/secret.csv")).unwrap(), b"outside/secret.csv");
    assert_eq!(std::fs::read(place.at("real/link.csv")).unwrap(), b"mine");
}

#[tokio::test]
async fn the_store_creates_once_replaces_whole_and_leaves_nothing_behind() {
    let place = place();
    let store = place.storage.store();
    let (a, b) = (key(&place, "plain/new/a"), key(&place, "plain/new/b"));
    let create = || PutOptions::from(PutMode::Create);
    store.put_opts(&a, "one".into(), create()).await.unwrap();
    let error = store.put_opts(&a, "two".into(), create()).await.unwrap_err();
    assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
    let first = store.head(&a).await.unwrap();
    store.put(&a, "three".into()).await.unwrap();
    assert_ne!(store.head(&a).await.unwrap().e_tag, first.e_tag);

    let new = CopyOptions::new().with_mode(CopyMode::Create);
    store.copy_opts(&a, &b, new.clone()).await.unwrap();
    assert!(matches!(store.copy_opts(&a, &b, new).await.unwrap_err(), object_store::Error::AlreadyExists { .. }));
    let new = RenameOptions::new().with_target_mode(RenameTargetMode::Create);
    assert!(matches!(store.rename_opts(&a, &b, new).await.unwrap_err(), object_store::Error::AlreadyExists { .. }));
    store.rename(&a, &b).await.unwrap();
    assert!(matches!(store.head(&a).await.unwrap_err(), object_store::Error::NotFound { .. }));
    assert_eq!(store.get(&b).await.unwrap().bytes().await.unwrap().as_ref(), b"three");
    assert_eq!(store.get_range(&b, 1..3).await.unwrap().as_ref(), b"hr");
    assert!(store.get_ranges(&b, &[0..1, 4..9]).await.is_err(), "a short read is an error");
    store.delete(&b).await.unwrap();
    assert!(matches!(store.delete(&b).await.unwrap_err(), object_store::Error::NotFound { .. }));
    assert_eq!(std::fs::read_dir(place.at("plain/new")).unwrap().count(), 0);
}

#[tokio::test]
async fn sixteen_writers_create_a_file_once() {
    let place = place();
    let path = key(&place, "plain/log/0.json");
    let writers = (0..16).map(|writer| {
        let (store, path) = (place.storage.store(), path.clone());
        async move { store.put_opts(&path, writer.to_string().into(), PutMode::Create.into()).await.is_ok() }
    });
    let won = futures::future::join_all(writers).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn an_upload_is_published_whole_or_not_at_all() {
    let place = place();
    let store = place.storage.store();
    let path = key(&place, "plain/up/f.bin");
    let mut upload = store.put_multipart(&path).await.unwrap();
    let (first, second) = (upload.put_part("abc".into()), upload.put_part("def".into()));
    second.await.unwrap();
    first.await.unwrap();
    assert!(!place.at("plain/up/f.bin").exists());
    upload.complete().await.unwrap();
    assert_eq!(std::fs::read(place.at("plain/up/f.bin")).unwrap(), b"abcdef");

    let mut upload = store.put_multipart(&path).await.unwrap();
    drop(upload.put_part("lost".into()));
    assert!(upload.complete().await.is_err(), "a hole was published");
    let mut upload = store.put_multipart(&path).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(std::fs::read(place.at("plain/up/f.bin")).unwrap(), b"abcdef");
    assert_eq!(std::fs::read_dir(place.at("plain/up")).unwrap().count(), 1);
}

#[tokio::test]
async fn the_store_lists_recursively_in_order_and_literally() {
    let place = place();
    for name in ["plain/b/dt=a%3Ab/1", "plain/a/2#7", "plain/a/.hidden", "plain/c"] {
        durable::create_file(&place.at(name), b"1").unwrap();
    }
    let store = place.storage.store();
    let found = store.list(Some(&key(&place, "plain"))).map_ok(|meta| meta.location).try_collect::<Vec<_>>().await.unwrap();
    let mut found = found.into_iter().map(|path| path.to_string()).collect::<Vec<_>>();
    found.sort();
    let expected = ["plain/a/.hidden", "plain/a/2#7", "plain/b/dt=a%3Ab/1", "plain/c"].map(|name| key(&place, name).to_string());
    assert_eq!(found, expected);
    for path in found {
        store.get(&object_store::path::Path::parse(path).unwrap()).await.unwrap();
    }
    let level = store.list_with_delimiter(Some(&key(&place, "plain"))).await.unwrap();
    assert_eq!((level.common_prefixes.len(), level.objects.len()), (2, 1));
    assert!(store.list(Some(&key(&place, "plain/none"))).try_collect::<Vec<_>>().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_listing_skips_hidden_names_applies_the_pattern_and_is_sorted() {
    let place = place();
    for name in ["b.csv", "a.csv", "_SUCCESS", ".a.csv.crc", "_tmp/x.csv", "_day=1/x.csv", ".x=1/x.csv", "dt=2/p/x.csv", "dt=1/y.json"] {
        durable::create_file(&place.at("plain").join(name), b"1").unwrap();
    }
    let names = async |text: String| {
        let location = place.storage.location(&text, Access::Read).unwrap();
        place.storage.list(&location).await.map(|files| files.into_iter().map(|file| file.relative).collect::<Vec<_>>())
    };
    let plain = place.at("plain").display().to_string();
    assert_eq!(names(plain.clone()).await.unwrap(), ["_day=1/x.csv", "a.csv", "b.csv", "dt=1/y.json", "dt=2/p/x.csv"]);
    assert_eq!(names(format!("{plain}/*.csv")).await.unwrap(), ["a.csv", "b.csv"]);
    assert_eq!(names(format!("{plain}/*/*.{{csv,json}}")).await.unwrap(), ["_day=1/x.csv", "dt=1/y.json"]);
    assert_eq!(names(format!("{plain}/**/x.csv")).await.unwrap(), ["_day=1/x.csv", "dt=2/p/x.csv"]);
    assert_eq!(names(format!("{plain}/a.csv")).await.unwrap(), ["a.csv"]);
    assert!(names("nothing/here".into()).await.unwrap().is_empty());

    // A link inside the roots is followed, a circle ends, one that leads outside is an error and no gap.
    symlink(place.at("real/dir"), place.at("plain/linked")).unwrap();
    symlink(place.at("plain"), place.at("plain/dt=1/circle")).unwrap();
    assert_eq!(names("/data/inside".into()).await.unwrap_err().code, FORBIDDEN);
    assert_eq!(names(format!("{plain}/linked/*.csv")).await.unwrap(), ["y.csv"]);
    std::fs::remove_file(place.at("real/dir/up")).unwrap();
    assert_eq!(names(plain.clone()).await.unwrap().len(), 6);
    symlink(place.at("nowhere"), place.at("plain/dt=2/gone.csv")).unwrap();
    assert_eq!(names(plain).await.unwrap_err().code, FORBIDDEN);
}

#[test]
fn there_is_no_store_for_any_other_url() {
    let place = place();
    let registry = place.storage.registry();
    let url = |text: &str| url::Url::parse(text).unwrap();
    registry.register_store(&url("file:///"), Arc::new(object_store::local::LocalFileSystem::new()));
    for text in ["file:///", "file:///etc", "s3://bucket", "weir://other", "http://local"] {
        assert!(registry.get_store(&url(text)).is_err(), "{text} has a store");
    }
    registry.get_store(&url(place.storage.store_url().as_str())).unwrap();
}
