//! The catalog: what is refused, what survives, and who sees what when.

use super::store::{STEPS, Step, Store};
use super::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("meta.db")
    }

    fn open(&self) -> Arc<Catalog> {
        Catalog::open(&self.path()).unwrap()
    }

    #[track_caller]
    fn refuses(&self, code: Code, message: &str) -> Error {
        let error = Catalog::open(&self.path()).unwrap_err();
        assert_eq!((error.code, error.message.contains(message)), (code, true), "{error}");
        error
    }
}

fn database(name: &str) -> Database {
    Database { name: name.into(), location: None, comment: Some("a comment".into()), created_ms: 1 }
}

fn column(name: &str, sql_type: &str) -> Column {
    Column { name: name.into(), sql_type: sql_type.into(), nullable: true, comment: None }
}

fn table(database: &str, name: &str) -> Table {
    Table {
        id: format!("id-{database}-{name}"),
        database: database.into(),
        name: name.into(),
        kind: TableKind::External,
        columns: vec![column("userId", "INT"), column("note", "STRING")],
        partition_columns: vec![column("dt", "STRING")],
        primary_key: vec!["userId".into()],
        format: "PARQUET".into(),
        location: "/data/it's \"here\" é".into(),
        located: false,
        comment: None,
        properties: vec![("skip.header.line.count".into(), "1".into())],
        options: vec![("delimiter".into(), "\u{1}".into())],
        partition_locations: BTreeMap::from([("dt=2026-01-01".into(), "/other".into())]),
        inferred: false,
        created_ms: 2,
        owner: "admin".into(),
        stream: None,
    }
}

fn view(database: &str, name: &str) -> View {
    View {
        database: database.into(),
        name: name.into(),
        sql: "SELECT 1".into(),
        column_names: vec!["a".into()],
        columns: vec![column("a", "INT")],
        search_database: database.into(),
        comment: None,
        created_ms: 3,
        owner: "admin".into(),
    }
}

fn model(name: &str, metrics: &[(&str, f64)]) -> Model {
    let version = ModelVersion {
        version: 1,
        trained_ms: 4,
        train_seconds: 0.1 + 0.2,
        metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        parameters: BTreeMap::from([("rank".into(), "10".into())]),
        training: None,
        followed: None,
    };
    Model {
        id: "m1".into(),
        database: "public".into(),
        name: name.into(),
        training: Training {
            model_type: "matrix_factorization".into(),
            options: vec![],
            query: "SELECT 1".into(),
            search_database: String::new(),
            timezone: String::new(),
        },
        default_version: 1,
        versions: vec![version],
        created_ms: 5,
        owner: "admin".into(),
    }
}

fn user(name: &str, admin: bool) -> User {
    User { name: name.into(), admin, argon2: Some("$argon2id$..".into()), scram: None, created_ms: 6 }
}

fn secret(name: &str) -> Secret {
    Secret { name: name.into(), source: SecretSource::Env("PG_PASSWORD".into()), created_ms: 7 }
}

/// One object of each kind.
fn one_of_each() -> Vec<Change> {
    vec![
        Change::PutDatabase(database("Lake")),
        Change::PutTable(table("lake", "Ratings")),
        Change::PutView(view("Lake", "Recent")),
        Change::PutModel(model("als", &[("rmse", 0.123_456_789_012_345_67), ("mae", f64::NAN), ("rows", f64::INFINITY)])),
        Change::PutUser(user("admin", true)),
        Change::PutSecret(secret("Pg_Pwd")),
    ]
}

impl Catalog {
    async fn put(&self, changes: Vec<Change>) -> Result<u64> {
        self.apply(self.snapshot().version, changes).await
    }
}

/// Equal contents; NaN equals NaN, because the text is compared.
#[track_caller]
fn assert_equal(left: &Snapshot, right: &Snapshot) {
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

#[tokio::test]
async fn a_change_that_breaks_a_rule_is_refused_and_nothing_of_its_list_stays() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    catalog.put(one_of_each()).await.unwrap();
    let before = catalog.snapshot();
    let key = ObjectKey::new;
    let cases: Vec<(Change, Code, &str)> = vec![
        (Change::DropDatabase("PUBLIC".into()), Code::WrongObject, "database \"public\" cannot be dropped"),
        (Change::DropDatabase("default".into()), Code::WrongObject, "database \"public\" cannot be dropped"),
        (Change::DropDatabase("lake".into()), Code::WrongObject, "database \"lake\" is not empty"),
        (Change::DropDatabase("lak".into()), Code::UndefinedDatabase, "database \"lak\" does not exist"),
        (Change::PutDatabase(database("Default")), Code::DuplicateDatabase, "database \"default\" is another name of \"public\""),
        (Change::PutDatabase(database("System")), Code::DuplicateDatabase, "the name of database \"system\" is reserved"),
        (Change::PutDatabase(database("")), Code::InvalidParameter, "the name of a database cannot be empty"),
        (Change::PutTable(table("nowhere", "t")), Code::UndefinedDatabase, "database \"nowhere\" does not exist"),
        (Change::PutTable(table("lake", "RECENT")), Code::DuplicateTable, "a view \"lake.recent\" already exists"),
        (Change::PutView(view("lake", "ratings")), Code::DuplicateTable, "a table \"lake.ratings\" already exists"),
        (
            Change::PutTable(table("lake", "a\nb")),
            Code::InvalidParameter,
            "the name of a table cannot contain the control character U+000A",
        ),
        (Change::PutTable(table("lake", &"x".repeat(256))), Code::InvalidParameter, "too long"),
        (Change::DropTable(key("lake", "rating")), Code::UndefinedTable, "table \"lake.rating\" does not exist"),
        (Change::DropTable(key("lake", "recent")), Code::WrongObject, "\"lake.recent\" is a view, not a table"),
        (Change::DropView(key("lake", "ratings")), Code::WrongObject, "\"lake.ratings\" is a table, not a view"),
        (Change::DropView(key("public", "v")), Code::UndefinedTable, "view \"v\" does not exist"),
        (Change::DropModel(key("public", "asl")), Code::UndefinedObject, "model \"asl\" does not exist"),
        (Change::DropUser("Admin".into()), Code::UndefinedObject, "user \"Admin\" does not exist"),
        (Change::DropUser("admin".into()), Code::WrongObject, "user \"admin\" is the last administrator"),
        (Change::PutUser(user("admin", false)), Code::WrongObject, "user \"admin\" is the last administrator"),
        (Change::DropSecret("none".into()), Code::UndefinedObject, "secret \"none\" does not exist"),
    ];
    for (change, code, message) in cases {
        let context = format!("{change:?}");
        let error = catalog.put(vec![Change::PutDatabase(database("side")), change]).await.unwrap_err();
        assert_eq!((error.code, error.message.contains(message)), (code, true), "{context}: {error}");
        assert_equal(&catalog.snapshot(), &before);
    }
    drop(catalog);
    assert_equal(&fixture.open().snapshot(), &before);
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    for content in ["not a database, but long enough to be read as the header of one, which has a hundred bytes at least", "x"] {
        let fixture = Fixture::new();
        std::fs::write(fixture.path(), content).unwrap();
        fixture.refuses(Code::DataCorrupted, "is not a weir catalog");
        assert_eq!(std::fs::read_to_string(fixture.path()).unwrap(), content);
    }
    let fixture = Fixture::new();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute_batch("CREATE TABLE notes (id INTEGER)").unwrap();
    connection.close().unwrap();
    let before = std::fs::read(fixture.path()).unwrap();
    let error = fixture.refuses(Code::DataCorrupted, "is not a weir catalog");
    assert_eq!(error.detail.as_deref(), Some("It is a SQLite database of another program."));
    assert_eq!(std::fs::read(fixture.path()).unwrap(), before);
}

#[test]
fn a_file_of_a_newer_weir_is_refused_with_both_versions() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute("INSERT INTO schema_version (version, applied_ms) VALUES (99, 0)", []).unwrap();
    drop(connection);
    let error = fixture.refuses(Code::NotSupported, "was written by a newer weir");
    assert_eq!(error.detail.as_deref(), Some("It has schema version 99, this weir knows 2."));
}

#[test]
fn two_servers_cannot_use_one_data_directory() {
    let fixture = Fixture::new();
    let first = fixture.open();
    let error = fixture.refuses(Code::Unavailable, "another server uses the data directory");
    assert_eq!(error.detail, Some(format!("It has process id {}.", std::process::id())));
    drop(first);
    drop(fixture.open());
}

#[tokio::test]
async fn a_changed_byte_in_a_body_is_reported_with_the_object() {
    let fixture = Fixture::new();
    fixture.open().put(one_of_each()).await.unwrap();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute("UPDATE objects SET body = replace(body, 'PARQUET', 'PARQUEU') WHERE kind = 'table'", []).unwrap();
    drop(connection);
    fixture.refuses(Code::DataCorrupted, "the checksum of table \"ratings\" is wrong");
}

#[test]
fn damage_to_the_pages_is_reported() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let mut bytes = std::fs::read(fixture.path()).unwrap();
    let page = bytes.len() / 2;
    bytes[page..].fill(0xA5);
    std::fs::write(fixture.path(), bytes).unwrap();
    fixture.refuses(Code::DataCorrupted, "meta.db");
}

#[tokio::test]
async fn a_file_cut_to_nothing_is_not_taken_for_a_new_one() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    catalog.put(one_of_each()).await.unwrap();
    let whole = catalog.snapshot();
    for cut in [0, 10, 100, 511, 4_096] {
        let copy = copy_as_if_killed(&fixture, None);
        let mut bytes = std::fs::read(fixture.path()).unwrap();
        bytes.truncate(cut);
        std::fs::write(copy.path(), bytes).unwrap();
        // Its log may still hold every page.
        match Catalog::open(&copy.path()) {
            Ok(catalog) => assert_equal(&catalog.snapshot(), &whole),
            Err(error) => assert_eq!(error.code, Code::DataCorrupted, "cut at {cut}: {error}"),
        }
    }
    drop(catalog);
    let bytes = std::fs::read(fixture.path()).unwrap();
    for cut in [10, 100, 511, 4_096, bytes.len() - 1] {
        std::fs::write(fixture.path(), &bytes[..cut]).unwrap();
        fixture.refuses(Code::DataCorrupted, "meta.db");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_an_io_error() {
    let fixture = Fixture::new();
    std::fs::write(fixture.path(), "").unwrap();
    let error = Catalog::open(&fixture.path().join("meta.db")).unwrap_err();
    assert_eq!(error.code, Code::Io, "{error}");
}

#[tokio::test]
async fn a_stale_base_is_a_conflict_and_an_update_decides_again() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    let base = catalog.snapshot().version;
    catalog.put(vec![Change::PutDatabase(database("a"))]).await.unwrap();
    let error = catalog.apply(base, vec![Change::PutDatabase(database("b"))]).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    assert!(!catalog.snapshot().databases.contains_key("b"));

    // Somebody applies between the decision and its write, once.
    let rounds = AtomicUsize::new(0);
    let stolen = Arc::clone(&catalog);
    let seen = catalog
        .update(|snapshot| {
            if rounds.fetch_add(1, Ordering::SeqCst) == 0 {
                let catalog = Arc::clone(&stolen);
                let base = snapshot.version;
                std::thread::spawn(move || {
                    futures::executor::block_on(catalog.apply(base, vec![Change::PutDatabase(database("c"))])).unwrap();
                })
                .join()
                .unwrap();
            }
            Ok((vec![Change::PutDatabase(database("d"))], snapshot.databases.contains_key("c")))
        })
        .await
        .unwrap();
    assert_eq!((seen, rounds.load(Ordering::SeqCst)), (true, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_updates_lose_nothing() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let catalog = Arc::clone(&catalog);
            crate::telemetry::task::spawn(format!("update {n}"), async move {
                catalog.update(|_| Ok((vec![Change::PutTable(table("public", &format!("t{n}")))], n))).await
            })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), n);
    }
    assert_eq!(catalog.snapshot().tables.len(), 32);
    drop(catalog);
    assert_eq!(fixture.open().snapshot().tables.len(), 32);
}

#[tokio::test]
async fn an_update_without_changes_writes_nothing() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    let version = catalog.snapshot().version;
    assert_eq!(catalog.update(|_| Ok((vec![], 7))).await.unwrap(), 7);
    assert_eq!(catalog.put(vec![]).await.unwrap(), version);
    let error = catalog.update(|_| Err::<(Vec<Change>, ()), _>(Error::new(Code::DuplicateTable, "no"))).await.unwrap_err();
    assert_eq!((error.code, catalog.snapshot().version), (Code::DuplicateTable, version));
}

#[tokio::test]
async fn every_kind_of_object_survives_a_restart_bit_by_bit() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    catalog.put(one_of_each()).await.unwrap();
    let before = catalog.snapshot();
    assert_eq!(before.models.len() + before.tables.len() + before.views.len() + before.users.len() + before.secrets.len(), 5);
    drop(catalog);
    let catalog = fixture.open();
    assert_equal(&catalog.snapshot(), &before);
    catalog
        .put(vec![
            Change::DropTable(ObjectKey::new("LAKE", "RATINGS")),
            Change::DropView(ObjectKey::new("lake", "recent")),
            Change::DropDatabase("LAKE".into()),
            Change::DropModel(ObjectKey::new("default", "ALS")),
            Change::DropSecret("PG_PWD".into()),
            Change::PutUser(user("second", true)),
            Change::DropUser("admin".into()),
        ])
        .await
        .unwrap();
    let before = catalog.snapshot();
    drop(catalog);
    let after = fixture.open().snapshot();
    assert_equal(&after, &before);
    assert_eq!(after.databases.keys().collect::<Vec<_>>(), ["public"]);
    assert_eq!(after.users.keys().collect::<Vec<_>>(), ["second"]);
    assert!(after.tables.is_empty() && after.views.is_empty() && after.models.is_empty() && after.secrets.is_empty());
}

/// A copy of the files while the catalog is open is what a killed process leaves behind.
fn copy_as_if_killed(from: &Fixture, wal_bytes: Option<usize>) -> Fixture {
    let to = Fixture::new();
    std::fs::copy(from.path(), to.path()).unwrap();
    let mut wal = std::fs::read(from.directory.path().join("meta.db-wal")).unwrap();
    wal.truncate(wal_bytes.unwrap_or(wal.len()));
    std::fs::write(to.directory.path().join("meta.db-wal"), wal).unwrap();
    to
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    for n in 0..10 {
        catalog.put(vec![Change::PutTable(table("public", &format!("t{n}")))]).await.unwrap();
        let copy = copy_as_if_killed(&fixture, None);
        assert_equal(&copy.open().snapshot(), &catalog.snapshot());
    }
}

#[tokio::test]
async fn a_torn_log_gives_whole_changes_only() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    let first = catalog.snapshot().version;
    // Every change writes two objects: both are there or none is.
    for n in 0..8 {
        let pair = ["a", "b"].map(|side| Change::PutTable(table("public", &format!("{side}{n}"))));
        catalog.put(pair.into()).await.unwrap();
    }
    let wal_bytes = std::fs::metadata(fixture.directory.path().join("meta.db-wal")).unwrap().len() as usize;
    let mut versions = std::collections::BTreeSet::new();
    for cut in (0..=wal_bytes).rev().step_by(1_777) {
        let copy = copy_as_if_killed(&fixture, Some(cut));
        let Ok(catalog) = Catalog::open(&copy.path()) else { panic!("the log cut at {cut} of {wal_bytes} cannot be opened") };
        let snapshot = catalog.snapshot();
        let n_pairs = snapshot.version.saturating_sub(first) as usize;
        assert_eq!(snapshot.tables.len(), 2 * n_pairs, "cut at {cut}");
        for n in 0..n_pairs {
            let key = |side| ObjectKey::new("public", &format!("{side}{n}"));
            assert!(snapshot.tables.contains_key(&key("a")) && snapshot.tables.contains_key(&key("b")), "cut at {cut}, pair {n}");
        }
        // It goes on from there.
        catalog.put(vec![Change::PutTable(table("public", "next"))]).await.unwrap();
        versions.insert(snapshot.version);
    }
    assert!(versions.len() > 6, "the cuts fell on few different versions: {versions:?}");
}

/// Random changes, some of them refused; now and then the process is "killed". What was acknowledged, and
/// nothing else, is what an in-memory catalog has after the same acknowledged changes.
#[tokio::test]
async fn random_changes_and_kills_leave_what_was_acknowledged() {
    use rand::{Rng, SeedableRng};
    const SEED: u64 = 20_260_101;
    println!("seed {SEED}");
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    let mut fixture = Fixture::new();
    let mut catalog = fixture.open();
    let mut expected = (*catalog.snapshot()).clone();
    let (mut n_refused, mut n_kills) = (0, 0);
    for round in 0..400 {
        let changes: Vec<_> = (0..random.random_range(1..4)).map(|_| random_change(&mut random, round)).collect();
        let mut next = expected.clone();
        let allowed = changes.iter().try_for_each(|change| next.change(change.clone()));
        let answer = catalog.put(changes).await;
        assert_eq!(answer.as_ref().err(), allowed.as_ref().err(), "round {round}");
        if let Ok(version) = answer {
            expected = Snapshot { version, ..next };
        } else {
            n_refused += 1;
        }
        if random.random_range(0..20) == 0 {
            n_kills += 1;
            let after = copy_as_if_killed(&fixture, None);
            catalog = after.open();
            fixture = after;
            assert_equal(&catalog.snapshot(), &expected);
        }
    }
    assert!(n_refused > 50 && n_kills > 10 && expected.version > 50, "{n_refused} refused, {n_kills} kills, version {}", expected.version);
}

fn random_change(random: &mut rand::rngs::StdRng, round: i64) -> Change {
    use rand::Rng;
    let mut pick = |names: &[&'static str]| names[random.random_range(0..names.len())];
    let (database_name, name) = (pick(&["public", "default", "Lake", "lake", "sea"]), pick(&["a", "A", "b", "c"]));
    let key = ObjectKey::new(database_name, name);
    match random.random_range(0..13) {
        0 | 1 => Change::PutDatabase(Database { created_ms: round, ..database(database_name) }),
        2 => Change::DropDatabase(database_name.into()),
        3 | 4 => Change::PutTable(Table { created_ms: round, ..table(database_name, name) }),
        5 => Change::DropTable(key),
        6 => Change::PutView(View { created_ms: round, ..view(database_name, name) }),
        7 => Change::DropView(key),
        8 => Change::PutUser(User { created_ms: round, ..user(name, random.random_bool(0.5)) }),
        9 => Change::DropUser(name.into()),
        10 => Change::PutSecret(Secret { created_ms: round, ..secret(name) }),
        11 => Change::DropSecret(name.into()),
        _ => Change::PutModel(Model { created_ms: round, ..model(name, &[("rmse", random.random())]) }),
    }
}

#[tokio::test]
async fn readers_keep_their_snapshot_and_watchers_hear_of_the_next() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    let mut changes = catalog.changes();
    let old = catalog.snapshot();
    let version = catalog.put(vec![Change::PutTable(table("public", "t"))]).await.unwrap();
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), version);
    assert!(old.tables.is_empty() && version > old.version);
    assert_eq!(catalog.snapshot().tables.len(), 1);
    drop(catalog);
    assert!(fixture.open().snapshot().version >= version, "versions never go back");
}

/// The file that weir 0.1 made, written down by hand: it is never edited.
const VERSION_1: &str = r#"
    PRAGMA application_id = 2003134834;
    CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT;
    INSERT INTO schema_version VALUES (1, 1790000000000);
    CREATE TABLE catalog_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
    INSERT INTO catalog_version VALUES (1, 41);
    CREATE TABLE objects (
      kind TEXT NOT NULL, database TEXT NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, checksum TEXT NOT NULL,
      PRIMARY KEY (kind, database, name)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO objects VALUES ('database', '', 'public', '{"name":"public","created_ms":1}', '1d6fed84e7115c6f');
    INSERT INTO objects VALUES ('user', '', 'admin', '{"name":"admin","admin":true,"created_ms":1,"colour":"red"}', '1eea03a770dde888');
    INSERT INTO objects VALUES ('view', 'public', 'v',
      '{"database":"public","name":"V","sql":"SELECT 1","search_database":"public","created_ms":1,"owner":"admin"}', 'bb28ff121d9ea67e');
    INSERT INTO objects VALUES ('robot', '', 'r2', '{"beeps":true}', '553104ff229a3628');
"#;

fn version_1() -> Fixture {
    let fixture = Fixture::new();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute_batch(VERSION_1).unwrap();
    connection.close().unwrap();
    fixture
}

#[tokio::test]
async fn a_file_of_version_1_opens_with_unknown_fields_and_kinds_and_missing_fields() {
    let fixture = version_1();
    let catalog = fixture.open();
    let snapshot = catalog.snapshot();
    assert_eq!(snapshot.version, 41);
    assert!(snapshot.user("admin").unwrap().admin);
    assert_eq!(snapshot.view(&ObjectKey::new("default", "v")).unwrap().name, "V");
    // What we do not know stays in the file.
    catalog.put(vec![Change::PutSecret(secret("s"))]).await.unwrap();
    drop(catalog);
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let robots: i64 = connection.query_row("SELECT count(*) FROM objects WHERE kind = 'robot'", [], |row| row.get(0)).unwrap();
    assert_eq!(robots, 1);
}

#[test]
fn later_steps_run_once_in_order_and_leave_a_copy_of_the_old_file() {
    let next = Step { to_version: 3, what: "paint", run: |t| t.execute_batch("ALTER TABLE objects ADD COLUMN colour TEXT") };
    let steps = [STEPS, &[next]].concat();
    let fixture = version_1();
    for _ in 0..2 {
        let (store, snapshot) = Store::open(&fixture.path(), &steps).unwrap();
        assert_eq!(snapshot.version, 41);
        drop(store);
    }
    let old = rusqlite::Connection::open(fixture.directory.path().join("meta.v1.db")).unwrap();
    let columns = |connection: &rusqlite::Connection| -> i64 {
        connection.query_row("SELECT count(*) FROM pragma_table_info('objects')", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(columns(&old), 5);
    assert_eq!(columns(&rusqlite::Connection::open(fixture.path()).unwrap()), 6);
    // This weir refuses what the next one made.
    fixture.refuses(Code::NotSupported, "was written by a newer weir");
}

#[test]
fn a_step_that_fails_leaves_the_version_before_it() {
    let half = Step { to_version: 3, what: "half", run: |t| t.execute_batch("CREATE TABLE half (a TEXT); SELECT * FROM nowhere;") };
    let fixture = version_1();
    let error = Store::open(&fixture.path(), &[STEPS, &[half]].concat()).unwrap_err();
    assert!(error.message.starts_with("could not upgrade the catalog"), "{error}");
    drop(fixture.open());
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let half: i64 = connection.query_row("SELECT count(*) FROM sqlite_master WHERE name = 'half'", [], |row| row.get(0)).unwrap();
    assert_eq!(half, 0);
}

#[tokio::test]
async fn names_are_found_in_any_case_and_misses_say_what_is_near() {
    let fixture = Fixture::new();
    let catalog = fixture.open();
    catalog.put(one_of_each()).await.unwrap();
    catalog.put(vec![Change::PutTable(table("lakes", "other"))]).await.unwrap_err();
    let lakes = vec![Change::PutDatabase(database("lakes")), Change::PutTable(table("lakes", "other"))];
    catalog.put(lakes).await.unwrap();
    let snapshot = catalog.snapshot();
    let key = ObjectKey::new("LAKE", "ratings");
    assert_eq!(snapshot.table(&key).unwrap().name, "Ratings");
    assert_eq!(snapshot.database("DEFAULT").unwrap().name, "public");
    assert_eq!(snapshot.table_by_id("id-lake-Ratings").unwrap().name, "Ratings");
    let names: Vec<_> = snapshot.relations_of("lake").iter().map(|relation| (relation.kind(), relation.name().to_owned())).collect();
    assert_eq!(names, [("table", "Ratings".to_owned()), ("view", "Recent".to_owned())]);
    assert_eq!(snapshot.tables_of("lakes").count(), 1);
    assert_eq!(snapshot.models_of("default").count(), 1);
    let near = |result: Error| result.hint.unwrap();
    assert_eq!(near(snapshot.table(&ObjectKey::new("lake", "recents")).unwrap_err()), "Did you mean \"Recent\"?");
    assert_eq!(near(snapshot.database("lakee").unwrap_err()), "Did you mean \"Lake\"?");
    assert_eq!(near(snapshot.user("Admin").unwrap_err()), "Did you mean \"admin\"?");
    let undefined = snapshot.table(&ObjectKey::new("nowhere", "t")).unwrap_err();
    assert_eq!(undefined.code, Code::UndefinedDatabase);
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_verifiers() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let _catalog = fixture.open();
    for name in ["meta.db", "meta.db-wal"] {
        let mode = std::fs::metadata(fixture.directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}
