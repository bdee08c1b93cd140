//! Settings: what is refused and how it is said, which layer wins, and that the table, the file and the struct agree.

use super::layers::{DEFAULT_TOML, Layers, Raw};
use super::*;
use std::collections::BTreeSet;

/// Flags only.
fn load(flags: &[(&str, &str)]) -> Result<Config, Mistakes> {
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::load(&Sources { flags, ..Sources::default() })
}

/// A file in a directory of its own.
fn load_file(text: &str) -> (tempfile::TempDir, Result<Config, Mistakes>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, text).unwrap();
    let result = Config::load(&Sources { file: Some(file), ..Sources::default() });
    (directory, result)
}

#[track_caller]
fn check_mistake(flags: &[(&str, &str)], expected: &str) {
    let mistakes = load(flags).expect_err(expected);
    assert!(mistakes.to_string().contains(expected), "{flags:?}: {mistakes}");
}

#[test]
fn wrong_values_are_refused_with_what_is_expected() {
    check_mistake(&[("server.flight_lisen", "x")], "there is no setting \"server.flight_lisen\", did you mean \"server.flight_listen\"?");
    check_mistake(&[("flight_listen", "x")], "there is no setting \"flight_listen\", did you mean \"server.flight_listen\"?");
    check_mistake(&[("colour", "red")], "command line: there is no setting \"colour\"");
    check_mistake(&[("server.flight_listen", "example.org:1")], "expects an IP address and a port");
    check_mistake(&[("server.flight_listen", "127.0.0.1")], "expects an IP address and a port");
    check_mistake(&[("server.dev", "maybe")], "\"server.dev\" expects true or false, found \"maybe\"");
    check_mistake(&[("server.connections_max", "0")], "expects a whole number from 1 to 1000000, found \"0\"");
    check_mistake(&[("server.connections_max", "-1")], "expects a whole number");
    check_mistake(&[("server.message_bytes_max", "1 KiB")], "expects at least 64 KiB, found \"1 KiB\"");
    check_mistake(&[("server.message_bytes_max", "64 MiBs")], "does not know the unit \"mibs\"");
    check_mistake(&[("server.shutdown_grace", "30")], "the number 30 has no unit");
    check_mistake(&[("server.shutdown_grace", "30 lightyears")], "does not know the unit \"lightyears\"");
    check_mistake(&[("limits.memory", "0 %")], "expects a percentage above 0 and up to 100");
    check_mistake(&[("limits.memory", "101%")], "expects a percentage above 0 and up to 100");
    check_mistake(&[("limits.memory", "1 MiB")], "expects at least 16 MiB");
    check_mistake(&[("telemetry.log_format", "xml")], "expects \"text\" or \"json\", found \"xml\"");
    check_mistake(&[("telemetry.log_level", "loud")], "expects off, error, warn, info, debug, trace, found \"loud\"");
    check_mistake(&[("data_dir", "")], "\"data_dir\" cannot be empty");
    check_mistake(&[("storage.roots", "/a,/a")], "has the prefix \"/a\" twice");
    check_mistake(&[("storage.roots", "/a/../b")], "has a prefix with \"..\"");
    check_mistake(&[("storage.roots", "[{prefx = '/a'}]")], "unknown key \"prefx\", did you mean \"prefix\"?");
    check_mistake(&[("storage.roots", "[{prefix = '/a', writable = 'x'}]")], "expects \"writable\" to be true or false, found \"x\"");
    check_mistake(&[("storage.roots", "[{writable = true}]")], "an entry without \"prefix\" and \"path\"");
    check_mistake(&[("storage.roots", "[")], "is not a list");
    let bucket = |entry: &str, expected: &str| {
        let list = format!("[{{{entry}}}]");
        check_mistake(&[("storage.s3", list.as_str())], expected);
    };
    check_mistake(&[("storage.s3", "lake")], "expects a list of tables");
    bucket("buket = 'lake'", "an entry with an unknown key \"buket\", did you mean \"bucket\"?");
    bucket("secret_key = 'hunter2'", "an entry with an unknown key \"secret_key\"");
    bucket("prefix = 'a'", "an entry without \"bucket\"");
    for name in ["", "ab", "Lake", "la/ke", "la_ke", "-lake", "la..ke"] {
        bucket(&format!("bucket = '{name}'"), "expects 3 to 63 lower-case letters");
    }
    for prefix in ["a//b", "..", "a/../b", "./a", "a*", "%2e%2e"] {
        bucket(&format!("bucket = 'lake', prefix = '{prefix}'"), "of the bucket \"lake\" expects \"prefix\" to be plain names");
    }
    for endpoint in ["s3.example.org", "ftp://h", "https://u:hunter2@h", "https://h/path", "https://h?q=1", "s3://lake"] {
        bucket(&format!("bucket = 'lake', endpoint = '{endpoint}'"), "expects \"endpoint\" to be a URL of scheme, host and port");
    }
    for endpoint in ["http://s3.example.org", "http://192.0.2.1:9000", "http://[2001:db8::1]", "http://localhost.example.org"] {
        bucket(&format!("bucket = 'lake', endpoint = '{endpoint}'"), "without TLS on another machine");
    }
    bucket("bucket = 'lake', writable = 'x'", "expects \"writable\" to be true or false, found \"x\"");
    bucket("bucket = 'lake', access_key_env = 'PATH'", "needs \"secret_key_env\" or \"secret_key_file\" too");
    bucket("bucket = 'lake', secret_key_env = 'PATH'", "needs \"access_key_env\" or \"access_key_file\" too");
    bucket("bucket = 'lake', access_key_env = 'PATH', access_key_file = 'k'", "has both \"access_key_env\" and \"access_key_file\"");
    bucket(
        "bucket = 'lake', access_key_env = 'WEIR_NO_SUCH'",
        "the environment variable \"WEIR_NO_SUCH\" in \"access_key_env\", which is not set",
    );
    bucket("bucket = 'lake', access_key_file = '/no/such'", "could not read it");
    check_mistake(&[("storage.s3", "[{bucket = 'lake'}, {bucket = 'lake', prefix = 'a'}]")], "has the bucket \"lake\" twice");
    let mistakes = load(&[("storage.s3", "[{bucket = 'lake', endpoint = 'https://u:hunter2@h'}]")]).unwrap_err();
    assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
}

#[test]
fn rules_between_settings_hold() {
    check_mistake(&[("server.tls_cert", "c.pem")], "\"server.tls_cert\" needs \"server.tls_key\" too");
    check_mistake(&[("server.tls_key", "k.pem")], "\"server.tls_key\" needs \"server.tls_cert\" too");
    check_mistake(&[("server.tls_client_ca", "ca.pem")], "needs \"server.tls_cert\" and \"server.tls_key\" too");
    check_mistake(&[("auth.token_lifetime", "1 min")], "cannot be shorter than \"auth.token_idle\"");
    check_mistake(&[("auth.token_idle", "0 s")], "\"auth.token_idle\" must be longer than zero");
    check_mistake(&[("data_dir", "/srv/x/weir"), ("storage.roots", "/srv/x")], "gives SQL the server's own data_dir");
    check_mistake(&[("storage.roots", "/")], "gives SQL the server's own data_dir");
}

/// Every listener x TLS x development mode.
#[test]
fn a_listener_outside_loopback_needs_tls_and_passwords() {
    let tls = [("server.tls_cert", "c.pem"), ("server.tls_key", "k.pem")];
    let listeners = [
        ("127.0.0.1:0", true),
        ("127.9.9.9:1", true),
        ("[::1]:1", true),
        ("localhost:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("0.0.0.0:1", false),
        ("[::]:1", false),
        ("192.0.2.1:1", false),
        ("[2001:db8::1]:1", false),
        ("[::ffff:192.0.2.1]:1", false),
    ];
    for (listen, loopback) in listeners {
        for with_tls in [false, true] {
            for dev in [false, true] {
                let mut flags = vec![("server.flight_listen", listen), ("server.dev", if dev { "true" } else { "false" })];
                flags.extend(tls.iter().filter(|_| with_tls));
                let allowed = loopback || (with_tls && !dev);
                let result = load(&flags);
                assert_eq!(result.is_ok(), allowed, "{flags:?}: {:?}", result.err());
            }
        }
    }
    check_mistake(&[("server.flight_listen", "0.0.0.0:1")], "can be reached from outside, which needs TLS");
}

#[test]
fn all_mistakes_are_said_together_each_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, "data_dir = 'd'\n[servr]\nx = 1\n[server]\n\nconnections_max = 'many'\ntls_cert = ['a']\n").unwrap();
    let sources = Sources {
        file: Some(file),
        environment: vec![("WEIR__LIMITS__MEMORI".into(), "1".into()), ("PATH".into(), "/bin".into())],
        flags: vec![("telemetry.log_format".into(), "xml".into())],
    };
    let Mistakes(mistakes) = Config::load(&sources).unwrap_err();
    let all: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    for (place, what) in [
        ("weir.toml line 2: ", "there is no section \"servr\", did you mean \"server\"?"),
        ("weir.toml line 6: ", "\"server.connections_max\" expects a whole number from 1 to 1000000, found \"many\""),
        ("weir.toml line 7: ", "\"server.tls_cert\" expects one value, found a list"),
        ("environment variable WEIR__LIMITS__MEMORI: ", "there is no setting \"limits.memori\", did you mean \"limits.memory\"?"),
        ("command line: ", "\"telemetry.log_format\" expects \"text\" or \"json\", found \"xml\""),
    ] {
        assert!(all.iter().any(|line| line.contains(place) && line.ends_with(what)), "{place}{what} is missing in {all:#?}");
    }
    assert_eq!(all.len(), 5, "{all:#?}");
    let error = crate::error::Error::from(Mistakes(mistakes));
    assert_eq!(error.code, Code::InvalidParameter);
    assert!(error.message.starts_with("the configuration has 5 mistakes: (1) "), "{error}");
}

#[test]
fn broken_toml_and_a_missing_file_are_mistakes() {
    let (_directory, result) = load_file("data_dir = \"x\n[server]\nconnections_max = = 1\n");
    let text = result.unwrap_err().to_string();
    assert!(text.contains("weir.toml line 1: ") && text.contains("weir.toml line 3: "), "{text}");
    let missing = Sources { file: Some("/no/such/weir.toml".into()), ..Sources::default() };
    let text = Config::load(&missing).unwrap_err().to_string();
    assert!(text.contains("/no/such/weir.toml: could not read the file"), "{text}");
}

#[test]
fn later_layers_win_and_the_source_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("weir.toml");
    std::fs::write(&file, "[limits]\nqueries_max = 5\nhistory_rows = 1_000\nquery_timeout = '1h 30m'\n").unwrap();
    let sources = Sources {
        file: Some(file),
        environment: vec![("WEIR__LIMITS__QUERIES_MAX".into(), "6".into()), ("WEIR__DATA_DIR".into(), "/srv/weir".into())],
        flags: vec![("limits.queries_max".into(), "7".into())],
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.limits.queries_max, config.limits.history_rows), (7, 1_000));
    assert_eq!(config.limits.query_timeout, Some(Duration::from_secs(5_400)));
    assert_eq!(config.storage.warehouse, PathBuf::from("/srv/weir/warehouse"));
    assert_eq!(config.catalog_file(), PathBuf::from("/srv/weir/meta.db"));
    assert_eq!(config.sources["limits.queries_max"], "command line");
    assert_eq!(config.sources["data_dir"], "environment variable WEIR__DATA_DIR");
    assert!(config.sources["limits.history_rows"].ends_with("weir.toml line 3"));
    assert_eq!(config.sources["auth.token_idle"], "default");
}

#[test]
fn paths_are_absolute_and_those_of_a_file_start_at_its_directory() {
    let (directory, result) =
        load_file("data_dir = 'd'\n[storage]\nroots = [{prefix = '/data/', path = 'in', writable = true}, '/lake']\n");
    let config = result.unwrap();
    assert_eq!(config.data_dir, directory.path().join("d"));
    let expected = [
        RootConfig { prefix: "/data".into(), path: directory.path().join("in"), writable: true },
        RootConfig { prefix: "/lake".into(), path: "/lake".into(), writable: false },
    ];
    assert_eq!(config.storage.roots, expected);
    let config = load(&[("storage.roots", "/data=/srv/in:rw, /lake")]).unwrap();
    assert_eq!(config.storage.roots[0], RootConfig { prefix: "/data".into(), path: "/srv/in".into(), writable: true });
    assert_eq!(config.storage.roots[1], expected[1]);
    let config = load(&[("storage.roots", "[{prefix='/a,b', path='/c'}]")]).unwrap();
    assert_eq!(config.storage.roots[0].prefix, "/a,b");
    assert!(load(&[]).unwrap().data_dir.is_absolute());
}

#[test]
fn buckets_are_taken_with_their_keys_and_never_show_them() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("access"), "AK1\n").unwrap();
    std::fs::write(directory.path().join("secret"), "hunter2\n").unwrap();
    let file = directory.path().join("weir.toml");
    let text = "data_dir = 'd'\n[[storage.s3]]\nbucket = 'lake'\nprefix = '/a/b/'\nendpoint = 'http://127.0.0.1:9000/'\nwritable = true\n\
                access_key_file = 'access'\nsecret_key_file = 'secret'\n[[storage.s3]]\nbucket = 'public.data'\npath_style = false\n";
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    let expected = [
        BucketConfig {
            bucket: "lake".into(),
            prefix: "a/b".into(),
            endpoint: Some("http://127.0.0.1:9000".into()),
            region: "us-east-1".into(),
            keys: Some(BucketKeys { access_key: Secret::new("AK1"), secret_key: Secret::new("hunter2") }),
            path_style: true,
            allow_http: true,
            writable: true,
        },
        BucketConfig {
            bucket: "public.data".into(),
            prefix: String::new(),
            endpoint: None,
            region: "us-east-1".into(),
            keys: None,
            path_style: false,
            allow_http: false,
            writable: false,
        },
    ];
    assert_eq!(config.storage.buckets, expected);
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("AK1"), "{shown}");
    let far = load(&[("storage.s3", "[{bucket = 'lake', endpoint = 'http://s3.example.org', allow_http = true}]")]).unwrap();
    assert!(far.storage.buckets[0].allow_http);
}

#[test]
fn durations_and_sizes_are_words() {
    for (text, ms) in
        [("30 s", 30_000), ("30s", 30_000), ("1h 30m", 5_400_000), ("500 ms", 500), ("1.5 min", 90_000), ("2 Days", 172_800_000), ("0", 0)]
    {
        assert_eq!(units::parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for text in ["", "s", "-1 s", "1 s 5", "1..5 s", "1 s!", "1e3 s", "300 years", "99999999 days", "∞ s"] {
        assert!(units::parse_duration(text).is_err(), "{text}");
    }
    for (text, bytes) in [("1024", 1_024), ("64 MiB", 64 << 20), ("1.5GiB", 3 << 29), ("10 kB", 10_000), ("2g", 2 << 30), ("7 bytes", 7)] {
        assert_eq!(units::parse_size(text), Ok(bytes), "{text}");
    }
    for text in ["", "MiB", "-1", "1 MiB 5 KiB", "1 XB", "9e99", "99999999 TiB", "NaN"] {
        assert!(units::parse_size(text).is_err(), "{text}");
    }
    for bytes in [1, 1_023, 1 << 10, 3 << 20, (3 << 20) + 1, 5 << 40] {
        assert_eq!(units::parse_size(&units::format_size(bytes)), Ok(bytes));
    }
}

#[test]
fn none_and_zero_mean_no_timeout() {
    for text in ["none", "None", "0", "0 s"] {
        assert_eq!(load(&[("limits.query_timeout", text)]).unwrap().limits.query_timeout, None, "{text}");
    }
}

#[test]
fn memory_is_a_size_or_a_part_of_what_there_is() {
    assert_eq!(load(&[("limits.memory", "1 GiB")]).unwrap().limits.memory_bytes, 1 << 30);
    let whole = load(&[("limits.memory", "100 %")]).unwrap().limits.memory_bytes;
    let half = load(&[]).unwrap().limits.memory_bytes;
    assert!(half.abs_diff(whole / 2) <= 1, "{half} of {whole}");
}

#[test]
fn the_table_the_file_and_the_struct_agree() {
    let layers = Layers::read(&Sources::default());
    assert_eq!(layers.mistakes, []);
    let mut seen = BTreeSet::new();
    for key in KEYS {
        assert!(seen.insert(key.name), "{} is listed twice", key.name);
        assert!(!key.help.ends_with('.') && !key.help.contains('|'), "{}: help is a fragment of a table", key.name);
        let expected = if matches!(key.kind, Kind::Roots | Kind::Buckets) { Raw::List(vec![]) } else { Raw::Text(key.default.to_owned()) };
        assert_eq!(layers.found.get(key.name).map(|found| &found.raw), Some(&expected), "{} in default.toml", key.name);
    }
    // Every setting is read once by the struct, in no layer is one left.
    let mut bag = Bag::new(layers);
    let config = Config::take(&mut bag);
    assert_eq!(bag.left_over(), Vec::<&str>::new());
    assert_eq!(bag.mistakes, []);
    assert_eq!(bag.sources.keys().copied().collect::<BTreeSet<_>>(), seen);
    assert_eq!(config.server.message_bytes_max, 64 << 20);
}

#[test]
fn every_setting_of_the_file_is_explained_by_a_comment() {
    let lines: Vec<_> = DEFAULT_TOML.lines().collect();
    for (idx, line) in lines.iter().enumerate().filter(|(_, line)| line.contains(" = ") && !line.starts_with('#')) {
        assert!(idx > 0 && lines[idx - 1].starts_with("# "), "{line} has no comment");
    }
}

#[test]
fn the_reference_lists_every_setting_with_its_variable() {
    let page = keys::reference();
    for key in KEYS {
        assert!(page.contains(&format!("| `{}` |", key.name)), "{}", key.name);
        assert!(page.contains(&keys::environment_name(key.name)), "{}", key.name);
    }
    assert!(page.contains("`WEIR__SERVER__FLIGHT_LISTEN`") && page.contains("## [limits]"));
}

#[test]
fn a_secret_is_never_printed() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
    assert_eq!(secret.expose(), "hunter2");
}
