//! The commit protocol under faults: a store that dies, lies or panics at every operation, and other writers.

use super::*;
use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, Error as StoreError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What happens at the chosen write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// The process dies before the write: it has no effect, nothing works afterwards.
    DeathBefore,
    /// The process dies after the write: it has its effect, but nobody learns it.
    DeathAfter,
    /// The write has its effect and reports a failure; everything works afterwards.
    Lie,
    /// The write has its effect and reports that the object exists: a retry inside the store met its own success.
    LieExists,
    /// The write has no effect and reports a failure; everything works afterwards.
    Failure,
    Panic,
}

/// A store with one fault at the n-th write (put or delete).
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    at_write: usize,
    n_writes: AtomicUsize,
    is_healed: AtomicBool,
}

impl FaultyStore {
    pub fn new(world: &World, fault: Fault, at_write: usize) -> Arc<Self> {
        Arc::new(Self { inner: world.storage.store(), fault, at_write, n_writes: AtomicUsize::new(0), is_healed: AtomicBool::new(false) })
    }

    /// From here on everything works.
    pub fn heal(&self) {
        self.is_healed.store(true, Ordering::SeqCst);
    }

    pub fn is_dead(&self) -> bool {
        matches!(self.fault, Fault::DeathBefore | Fault::DeathAfter)
            && self.n_writes.load(Ordering::SeqCst) > self.at_write
            && !self.is_healed.load(Ordering::SeqCst)
    }

    pub fn n_writes(&self) -> usize {
        self.n_writes.load(Ordering::SeqCst)
    }

    pub fn tables(self: &Arc<Self>, world: &World) -> Arc<ManagedTables> {
        ManagedTables::with_store(Arc::clone(self) as Arc<dyn ObjectStore>, world.storage.store_url())
    }

    fn error() -> StoreError {
        StoreError::Generic { store: "faulty", source: "injected".into() }
    }

    fn alive(&self) -> object_store::Result<()> {
        if self.is_dead() { Err(Self::error()) } else { Ok(()) }
    }

    /// Counts a write: the fault, if it is its turn.
    fn turn(&self) -> object_store::Result<Option<Fault>> {
        self.alive()?;
        let turn = self.n_writes.fetch_add(1, Ordering::SeqCst) == self.at_write;
        Ok(turn.then_some(self.fault))
    }
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &StorePath, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let fault = self.turn()?;
        match fault {
            Some(Fault::DeathBefore | Fault::Failure) => return Err(Self::error()),
            Some(Fault::Panic) => panic!("injected panic"),
            _ => {}
        }
        let result = self.inner.put_opts(location, payload, options).await?;
        match fault {
            None => Ok(result),
            Some(Fault::LieExists) => Err(StoreError::AlreadyExists { path: location.to_string(), source: "injected".into() }),
            Some(_) => Err(Self::error()),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.alive()?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> object_store::Result<GetResult> {
        self.alive()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<StorePath>>,
    ) -> BoxStream<'static, object_store::Result<StorePath>> {
        match self.turn() {
            Ok(None) => self.inner.delete_stream(locations),
            _ => locations.map(|_| Err(Self::error())).boxed(),
        }
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.alive() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> object_store::Result<ListResult> {
        self.alive()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> object_store::Result<()> {
        self.alive()?;
        self.inner.copy_opts(from, to, options).await
    }
}

/// The statements of a short life, and the rows after each.
fn life() -> Vec<(&'static str, WriteMode, Vec<&'static str>)> {
    vec![
        ("SELECT 1, 'a' UNION ALL SELECT 2, 'b'", WriteMode::Append, vec!["1|a", "2|b"]),
        ("SELECT 20, 'b'", WriteMode::OverwritePartitions { fixed: Vec::new() }, vec!["1|a", "20|b"]),
        ("SELECT 3, 'a'", WriteMode::Append, vec!["1|a", "3|a", "20|b"]),
        ("SELECT 4, 'c'", WriteMode::OverwriteTable, vec!["4|c"]),
    ]
}

const ALL: &str = "SELECT id, p FROM t ORDER BY id";

/// Lives until the fault; returns how many statements were acknowledged (`None`: not even CREATE) and how many writes
/// there were.
async fn live(world: &World, store: &Arc<FaultyStore>) -> (Option<usize>, usize) {
    let schema = nullable(&world.schema_of("SELECT 1 AS id, 'a' AS p").await);
    let mut n_acknowledged = None;
    if let Ok(table) = world.create_empty(&store.tables(world), &["p"], &schema).await {
        n_acknowledged = Some(0);
        for (n_done, (sql, mode, _)) in life().into_iter().enumerate() {
            if world.insert(&table, sql, mode).await.is_err() {
                break;
            }
            n_acknowledged = Some(n_done + 1);
        }
    }
    (n_acknowledged, store.n_writes())
}

/// Kills the server at every write; after a restart the acknowledged statements are there, the one that was under way
/// is there whole or not at all, and no file is left over.
async fn die_everywhere(fault: Fault) {
    for at_write in 0.. {
        let world = World::new();
        let store = FaultyStore::new(&world, fault, at_write);
        let (n_acknowledged, n_writes) = live(&world, &store).await;
        let Some(n_acknowledged) = n_acknowledged else { continue };
        let table = world.reopen().await;
        let rows = world.query(&table, ALL).await;
        let after = |n_done: usize| if n_done == 0 { Vec::new() } else { life().remove(n_done - 1).2 };
        let is_whole = rows == after(n_acknowledged) || (n_acknowledged < life().len() && rows == after(n_acknowledged + 1));
        assert!(is_whole, "{fault:?} at write {at_write}: {n_acknowledged} acknowledged, rows {rows:?}");
        let mut known = World::live_files(&table);
        known.extend(table.log().tombstones().await.unwrap().into_keys().map(|path| path.to_string()));
        assert_eq!(world.parquet_files(), known, "{fault:?} at write {at_write}: only files of the log are left");
        world.insert(&table, "SELECT 99, 'z'", WriteMode::Append).await.unwrap();
        assert_eq!(world.query(&table, ALL).await.len(), rows.len() + 1);
        if n_writes <= at_write {
            assert!(at_write > 8, "the faults reached every write");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_before_any_write() {
    die_everywhere(Fault::DeathBefore).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn death_after_any_write() {
    die_everywhere(Fault::DeathAfter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_or_lies_once_never_doubles_or_loses_rows() {
    for fault in [Fault::Lie, Fault::LieExists, Fault::Failure, Fault::Panic] {
        for at_write in 0..14 {
            let world = World::new();
            let store = FaultyStore::new(&world, fault, at_write);
            let schema = nullable(&world.schema_of("SELECT 1 AS id, 'a' AS p").await);
            let tables = store.tables(&world);
            let created = AssertUnwindSafe(world.create_empty(&tables, &["p"], &schema)).catch_unwind().await;
            let Ok(Ok(table)) = created else { continue };
            let mut acknowledged = Vec::new();
            for id in 0..5 {
                // An error says: not there. Only a panic may leave it open.
                let sql = format!("SELECT {id}, 'a'");
                // A panic outside of the committer goes through the statement; the server catches it there.
                let insert = AssertUnwindSafe(world.insert(&table, &sql, WriteMode::Append)).catch_unwind();
                match insert.await.unwrap_or_else(|_| Err(Error::internal("panic"))) {
                    Ok(_) => acknowledged.push(format!("{id}|a")),
                    Err(error) if fault == Fault::Panic => assert_eq!(error.code, Code::Internal, "{error}"),
                    Err(error) => assert_eq!(error.code, Code::Io, "{fault:?} at write {at_write}: {error}"),
                }
            }
            assert!(acknowledged.len() >= 4, "{fault:?} at write {at_write}: one fault costs at most one statement");
            assert_eq!(world.query(&table, ALL).await, acknowledged, "{fault:?} at write {at_write}");
            assert_eq!(world.query(world.reopen().await.as_ref(), ALL).await, acknowledged, "{fault:?} at write {at_write}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_is_settled_when_the_store_is_back() {
    for (fault, expected) in [(Fault::DeathBefore, vec!["2|a"]), (Fault::DeathAfter, vec!["1|a", "2|a"])] {
        let world = World::new();
        // Writes: version 0, a data file, and then the entry that stays in doubt.
        let store = FaultyStore::new(&world, fault, 2);
        let schema = nullable(&world.schema_of("SELECT 1 AS id, 'a' AS p").await);
        let table = world.create_empty(&store.tables(&world), &["p"], &schema).await.unwrap();
        let error = world.insert(&table, "SELECT 1, 'a'", WriteMode::Append).await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable, "{error}");
        assert_eq!(error.detail.unwrap(), "It is not known whether version 1 was written: the rows may be in the table.");
        assert_eq!(world.parquet_files().len(), 1, "files in doubt are not deleted");
        assert_eq!(world.query_at(table.snapshot(), "SELECT count(*) FROM t").await, ["0"]);
        store.heal();
        world.insert(&table, "SELECT 2, 'a'", WriteMode::Append).await.unwrap();
        assert_eq!(world.query(&table, ALL).await, expected, "{fault:?}");
        assert_eq!(world.query(world.reopen().await.as_ref(), ALL).await, expected, "{fault:?}");
        assert_eq!(world.parquet_files(), World::live_files(&table), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_server_is_fenced_for_good() {
    let world = World::new();
    let old = world.create(&[], "SELECT 1 AS id").await;
    let new = world.reopen().await;
    world.insert(&new, "SELECT 2", WriteMode::Append).await.unwrap();
    for _ in 0..2 {
        let error = world.insert(&old, "SELECT 3", WriteMode::Append).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "table \"t\" was taken over by another server"));
    }
    world.insert(&new, "SELECT 4", WriteMode::Append).await.unwrap();
    assert_eq!(world.query(&new, "SELECT id FROM t ORDER BY id").await, ["1", "2", "4"]);
    assert_eq!(world.query(&old, "SELECT id FROM t").await, ["1"], "the old server still reads what it knows");
    assert_eq!(world.parquet_files(), World::live_files(&new), "the files of the refused statements are gone");
}

/// Commits as another program would, at the version after the newest.
pub async fn commit_foreign(world: &World, table: &ManagedTable, lines: &[String]) {
    let log = world.path().join("_delta_log");
    let versions =
        std::fs::read_dir(&log).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().unwrap_or_default() == "json");
    let next = versions.count();
    assert!(table.version() < next as u64);
    std::fs::write(log.join(format!("{next:020}.json")), lines.join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_other_programs_are_taken_over() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT 1 AS id, 'a' AS p").await;
    // Another program adds a copy of our file in another partition, without statistics, and changes nothing else.
    let live = World::live_files(&table).into_iter().next().unwrap();
    std::fs::copy(world.path().join(&live), world.path().join("other file.parquet")).unwrap();
    let size = std::fs::metadata(world.path().join(&live)).unwrap().len();
    let add = format!(
        r#"{{"add":{{"path":"other%20file.parquet","partitionValues":{{"p":"b"}},"size":{size},"modificationTime":0,"dataChange":true}}}}"#
    );
    commit_foreign(&world, &table, &[add, r#"{"commitInfo":{"operation":"WRITE"}}"#.to_owned()]).await;
    world.insert(&table, "SELECT 2, 'a'", WriteMode::Append).await.unwrap();
    let expected = ["1|a", "1|b", "2|a"];
    assert_eq!(world.query(&table, "SELECT id, p FROM t ORDER BY id, p").await, expected);
    assert_eq!(world.query(&table, "SELECT count(*) FROM t").await, ["3"], "a file without statistics is counted by reading");
    assert_eq!(world.query(&table, "SELECT id FROM t WHERE id = 1 AND p = 'b'").await, ["1"]);

    // A new column: the statement under way was planned for the old columns.
    let entry = std::fs::read_to_string(world.path().join("_delta_log").join(format!("{:020}.json", 0))).unwrap();
    let metadata = entry.lines().find(|line| line.contains("metaData")).unwrap().to_owned();
    let column = r#"{\"name\":\"more\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}"#;
    let metadata = metadata.replace(r#"\"fields\":["#, &format!(r#"\"fields\":[{column},"#));
    commit_foreign(&world, &table, &[metadata]).await;
    let error = world.insert(&table, "SELECT 3, 'a'", WriteMode::Append).await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "table \"t\" changed while rows were written to it"));
    world.insert(&table, "SELECT 7, 4, 'a'", WriteMode::Append).await.unwrap();
    assert_eq!(world.query(&table, "SELECT more, id FROM t ORDER BY id, p").await, ["|1", "|1", "|2", "7|4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_sweeps_what_dead_writers_left_and_nothing_else() {
    let world = World::new();
    let table = world.create(&[], "SELECT 1 AS id").await;
    world.insert(&table, "SELECT 2", WriteMode::OverwriteTable).await.unwrap();
    let left_over = sweep::file_path(1, "", false);
    let of_the_future = sweep::file_path(1_000, "", false);
    let of_another_table = sweep::file_path(1, "below", false);
    std::fs::create_dir(world.path().join("below")).unwrap();
    let of_spark = "part-00000-67e55044-10b1-426f-9247-bb680e5fe0c8-c000.parquet";
    for name in [left_over.as_str(), of_the_future.as_str(), of_another_table.as_str(), of_spark, "mine.parquet"] {
        std::fs::write(world.path().join(name), "x").unwrap();
    }
    let before = world.parquet_files();
    let reopened = world.reopen().await;
    let mut expected = before;
    expected.remove(&left_over);
    assert_eq!(world.parquet_files(), expected, "removed files of the log stay for a day");
    assert_eq!(world.query(&reopened, "SELECT id FROM t").await, ["2"]);
    let objects: Vec<ObjectMeta> = reopened.log().store.list(None).try_collect().await.unwrap();
    assert!(objects.iter().any(|object| object.location.as_ref().starts_with("_delta_log/")));
}
