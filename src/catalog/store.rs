//! The catalog file: one SQLite database, its lock, its schema versions, and rows to objects and back.
//!
//! | table | holds |
//! | --- | --- |
//! | `schema_version` | one row per upgrade step that was carried out |
//! | `catalog_version` | one row: the version of the newest [`Snapshot`] |
//! | `objects` | one row per object: kind, database, name (the key), body (JSON), checksum |
//!
//! Bodies are JSON so that a new optional field needs no schema step; what an older weir does not know, it skips.

use super::changes::Change;
use super::names::DEFAULT_DATABASE;
use super::objects::{Database, ObjectKey};
use super::snapshot::Snapshot;
use crate::error::{Code, Error, Result};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, ffi, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Marks a SQLite file as ours: "weir" in ASCII.
const APPLICATION_ID: i32 = 0x7765_6972;

/// How every SQLite file begins.
const SQLITE_MAGIC: &[u8] = b"SQLite format 3\0";

/// How long we wait for a tool that reads the file, such as the `sqlite3` shell.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// One step from a schema version to the next, carried out in a transaction of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The schema version after this step; the first step makes 1.
    pub to_version: u32,
    /// What it does, for the log.
    pub what: &'static str,
    pub run: fn(&Transaction<'_>) -> rusqlite::Result<()>,
}

/// Every schema version there ever was, in order. A published step is never edited: add another.
pub(super) static STEPS: &[Step] = &[
    Step {
        to_version: 1,
        what: "create the tables",
        run: |transaction| {
            transaction.execute_batch(
                "CREATE TABLE catalog_version (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL) STRICT;
                 INSERT INTO catalog_version (one, version) VALUES (1, 0);
                 CREATE TABLE objects (
                   kind TEXT NOT NULL,
                   database TEXT NOT NULL,
                   name TEXT NOT NULL,
                   body TEXT NOT NULL,
                   checksum TEXT NOT NULL,
                   PRIMARY KEY (kind, database, name)
                 ) STRICT, WITHOUT ROWID;",
            )
        },
    },
    Step {
        to_version: 2,
        what: "give the catalog an identity",
        run: |transaction| {
            transaction.execute_batch(
                "CREATE TABLE catalog_identity (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL) STRICT;
                 INSERT INTO catalog_identity (one, id) VALUES (1, lower(hex(randomblob(16))));",
            )
        },
    },
];

/// A change as a row: `body` is `None` to remove it.
#[derive(Debug)]
pub(super) struct Row {
    kind: &'static str,
    database: String,
    name: String,
    body: Option<String>,
}

impl Row {
    /// The row that a change writes or removes.
    pub fn of(change: &Change) -> Result<Self> {
        let at = |kind, key: &ObjectKey| (kind, key.database.clone(), key.name.clone());
        let ((kind, database, name), body) = match change {
            Change::PutDatabase(object) => (("database", String::new(), object.name.to_lowercase()), Some(json(object)?)),
            Change::DropDatabase(name) => (("database", String::new(), name.to_lowercase()), None),
            Change::PutTable(object) => (at("table", &object.key()), Some(json(object)?)),
            Change::DropTable(key) => (at("table", key), None),
            Change::PutView(object) => (at("view", &object.key()), Some(json(object)?)),
            Change::DropView(key) => (at("view", key), None),
            Change::PutModel(object) => (at("model", &object.key()), Some(json(object)?)),
            Change::DropModel(key) => (at("model", key), None),
            Change::PutUser(object) => (("user", String::new(), object.name.clone()), Some(json(object)?)),
            Change::DropUser(name) => (("user", String::new(), name.clone()), None),
            Change::PutSecret(object) => (("secret", String::new(), object.name.to_lowercase()), Some(json(object)?)),
            Change::DropSecret(name) => (("secret", String::new(), name.to_lowercase()), None),
        };
        Ok(Self { kind, database, name, body })
    }
}

/// Serialises, and makes sure that it can be read again: a catalog that cannot be opened is lost.
fn json<T: Serialize + DeserializeOwned>(object: &T) -> Result<String> {
    let broken = |error: serde_json::Error| Error::internal(format!("could not serialise a definition: {error}"));
    let body = serde_json::to_string(object).map_err(broken)?;
    serde_json::from_str::<T>(&body).map_err(broken)?;
    Ok(body)
}

/// Finds a flipped bit in a row, or a row under a wrong key. Not a protection against an attacker.
fn checksum(kind: &str, database: &str, name: &str, body: &str) -> String {
    let mut hash = Sha256::new();
    for part in [kind, database, name, body] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The open file. Held by the writer thread; the lock is released when it is dropped.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    path: PathBuf,
    /// After a failed fsync nobody knows what is on the disk: nothing more is written.
    failed: bool,
    // Declared last: the file is closed before another server may have it.
    _lock: File,
}

impl Store {
    /// Opens or creates the file, upgrades it with `steps` and reads it whole.
    pub fn open(path: &Path, steps: &[Step]) -> Result<(Self, Snapshot)> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let cannot = |what: &str, error: &std::io::Error| Error::new(Code::Io, format!("could not {what} \"{}\": {error}", path.display()));
        std::fs::create_dir_all(directory).map_err(|error| cannot("make the directory of", &error))?;
        let lock = lock(&path.with_extension("lock"), directory)?;
        // Ours from the first byte: it holds password verifiers. SQLite gives its WAL the same mode.
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| cannot("open the catalog", &error))?;
        check_header(&mut file, path)?;
        drop(file);
        let wrap = |error| sqlite_error(path, "open", &error);
        let mut connection = Connection::open(path).map_err(wrap)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(wrap)?;
        // Look before the first write: a foreign file stays as it is.
        let found = schema_version(&connection, path)?;
        let newest = steps.last().map_or(0, |step| step.to_version);
        if found > newest {
            return Err(Error::new(Code::NotSupported, format!("the catalog \"{}\" was written by a newer weir", path.display()))
                .detail(format!("It has schema version {found}, this weir knows {newest}."))
                .hint("Start the newer weir, or restore a backup from before the upgrade."));
        }
        durable(&connection).map_err(wrap)?;
        check_integrity(&connection, path)?;
        upgrade(&mut connection, path, found, steps)?;
        let mut store = Self { connection, path: path.to_owned(), failed: false, _lock: lock };
        let mut snapshot = store.load()?;
        store.seed(&mut snapshot)?;
        // The entries of new files; SQLite has synced their contents.
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| cannot("sync the directory of", &error))?;
        Ok((store, snapshot))
    }

    /// What no other catalog has, except copies of this one.
    pub fn id(&self) -> Result<String> {
        let wrap = |error| sqlite_error(&self.path, "read", &error);
        let id: String = self.connection.query_row("SELECT id FROM catalog_identity", [], |row| row.get(0)).map_err(wrap)?;
        let is_whole = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_whole { Ok(id) } else { Err(self.corrupted("its identity is not 32 hexadecimal digits")) }
    }

    /// Makes the default database when it is missing.
    fn seed(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        if snapshot.databases.contains_key(DEFAULT_DATABASE) {
            return Ok(());
        }
        let database = Database { name: DEFAULT_DATABASE.into(), location: None, comment: None, created_ms: now_ms() };
        let change = Change::PutDatabase(database);
        let row = Row::of(&change)?;
        snapshot.change(change)?;
        self.write(snapshot.version, snapshot.version + 1, &[row])?;
        snapshot.version += 1;
        Ok(())
    }

    /// Writes rows in one transaction and returns when they are on the disk.
    pub fn write(&mut self, from_version: u64, to_version: u64, rows: &[Row]) -> Result<()> {
        if self.failed {
            return Err(self.refused());
        }
        let result = self.write_rows(from_version, to_version, rows);
        if let Err(error) = &result {
            self.failed = is_sync_failure(error) || !self.connection.is_autocommit();
            if self.failed {
                tracing::error!(path = %self.path.display(), error = %error, "catalog write failed, no more changes are taken");
            }
        }
        result.map_err(|error| match error {
            WriteError::Moved => {
                Error::new(Code::DataCorrupted, format!("the catalog \"{}\" was changed from outside", self.path.display()))
                    .detail(format!("Its version is not {from_version} any more."))
                    .hint("Restart the server.")
            }
            WriteError::Sqlite(error) => sqlite_error(&self.path, "write", &error),
        })
    }

    fn write_rows(&mut self, from_version: u64, to_version: u64, rows: &[Row]) -> Result<(), WriteError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut put = transaction.prepare_cached(
                "INSERT INTO objects (kind, database, name, body, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET body = excluded.body, checksum = excluded.checksum",
            )?;
            let mut remove = transaction.prepare_cached("DELETE FROM objects WHERE kind = ?1 AND database = ?2 AND name = ?3")?;
            for Row { kind, database, name, body } in rows {
                match body {
                    Some(body) => put.execute(params![kind, database, name, body, checksum(kind, database, name, body)])?,
                    None => remove.execute(params![kind, database, name])?,
                };
            }
        }
        let moved = transaction.execute(
            "UPDATE catalog_version SET version = ?2 WHERE version = ?1",
            params![from_version.cast_signed(), to_version.cast_signed()],
        )?;
        if moved != 1 {
            return Err(WriteError::Moved);
        }
        Ok(transaction.commit()?)
    }

    /// Why nothing is written any more.
    fn refused(&self) -> Error {
        Error::new(Code::Unavailable, format!("the catalog \"{}\" takes no changes any more", self.path.display()))
            .detail("An earlier write failed in a way that leaves open what is on the disk.")
            .hint("Check the disk, then restart the server.")
    }

    /// Reads every object.
    fn load(&self) -> Result<Snapshot> {
        let wrap = |error| sqlite_error(&self.path, "read", &error);
        let version: Option<i64> =
            self.connection.query_row("SELECT version FROM catalog_version", [], |row| row.get(0)).optional().map_err(wrap)?;
        let version = version.ok_or_else(|| self.corrupted("it has no version"))?;
        let mut snapshot = Snapshot { version: version.cast_unsigned(), ..Snapshot::default() };
        let mut statement = self.connection.prepare("SELECT kind, database, name, body, checksum FROM objects").map_err(wrap)?;
        let mut rows = statement.query([]).map_err(wrap)?;
        while let Some(row) = rows.next().map_err(wrap)? {
            let text = |idx| row.get::<_, String>(idx).map_err(wrap);
            let (kind, database, name, body) = (text(0)?, text(1)?, text(2)?, text(3)?);
            if text(4)? != checksum(&kind, &database, &name, &body) {
                return Err(self.corrupted(&format!("the checksum of {kind} \"{name}\" is wrong")));
            }
            self.load_object(&mut snapshot, &kind, &ObjectKey { database, name }, &body)?;
        }
        Ok(snapshot)
    }

    fn load_object(&self, snapshot: &mut Snapshot, kind: &str, key: &ObjectKey, body: &str) -> Result<()> {
        match kind {
            "database" => drop(snapshot.databases.insert(key.name.clone(), self.object(kind, key, body)?)),
            "table" => drop(snapshot.tables.insert(key.clone(), self.object(kind, key, body)?)),
            "view" => drop(snapshot.views.insert(key.clone(), self.object(kind, key, body)?)),
            "model" => drop(snapshot.models.insert(key.clone(), self.object(kind, key, body)?)),
            "user" => drop(snapshot.users.insert(key.name.clone(), self.object(kind, key, body)?)),
            "secret" => drop(snapshot.secrets.insert(key.name.clone(), self.object(kind, key, body)?)),
            // A newer weir with the same schema made it, or will again: keep the row, show nothing.
            other => tracing::warn!(kind = other, name = %key, "unknown kind of object in the catalog skipped"),
        }
        Ok(())
    }

    fn object<T: DeserializeOwned>(&self, kind: &str, key: &ObjectKey, body: &str) -> Result<Arc<T>> {
        // The text of the error could hold a value; its place is enough.
        let unreadable = |error: serde_json::Error| {
            self.corrupted(&format!("the definition of {kind} \"{}\" is not readable at column {}", key.name, error.column()))
        };
        serde_json::from_str(body).map(Arc::new).map_err(unreadable)
    }

    fn corrupted(&self, why: &str) -> Error {
        Error::new(Code::DataCorrupted, format!("the catalog \"{}\" is damaged: {why}", self.path.display()))
            .hint("Restore the file from a backup.")
    }
}

/// Why a transaction did not happen.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the version in the file is another one")]
    Moved,
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// After these, what the disk holds is unknown, and trying again would hide it.
fn is_sync_failure(error: &WriteError) -> bool {
    let WriteError::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) = error else { return false };
    matches!(failure.extended_code, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC)
}

/// Milliseconds since 1970.
fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One server per data directory. The lock goes with the process, however it ends.
fn lock(path: &Path, directory: &Path) -> Result<File> {
    let cannot = |error: std::io::Error| Error::new(Code::Io, format!("could not lock \"{}\": {error}", path.display()));
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {
            // For the message below; the lock itself does not depend on it.
            file.set_len(0).map_err(cannot)?;
            write!(file, "{}", std::process::id()).map_err(cannot)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let known = file.rewind().and_then(|()| file.read_to_string(&mut owner)).is_ok() && owner.trim().parse::<u32>().is_ok();
            let error = Error::new(Code::Unavailable, format!("another server uses the data directory \"{}\"", directory.display()))
                .hint("Stop it, or give this one another data directory.");
            Err(if known { error.detail(format!("It has process id {}.", owner.trim())) } else { error })
        }
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// Refuses what SQLite would take for an empty database and overwrite: any file shorter than a page, and
/// a file that lost its contents while its log still has some.
fn check_header(file: &mut File, path: &Path) -> Result<()> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        std::fs::metadata(name).is_ok_and(|metadata| metadata.len() > 0)
    };
    let mut header = Vec::new();
    file.take(SQLITE_MAGIC.len() as u64)
        .read_to_end(&mut header)
        .map_err(|error| Error::new(Code::Io, format!("could not read the catalog \"{}\": {error}", path.display())))?;
    // With a rollback journal beside it the file may be half-written: SQLite knows how to go back.
    if beside("-journal") || header == SQLITE_MAGIC {
        return Ok(());
    }
    if !header.is_empty() {
        return Err(not_a_catalog(path, "It is not a SQLite database."));
    }
    if beside("-wal") {
        return Err(Error::new(Code::DataCorrupted, format!("the catalog \"{}\" is damaged", path.display()))
            .detail("The file is empty, its log is not.")
            .hint("Restore the file from a backup."));
    }
    Ok(())
}

/// The schema version of a file, 0 for an empty one; a file that is not a catalog is refused.
fn schema_version(connection: &Connection, path: &Path) -> Result<u32> {
    let wrap = |error| sqlite_error(path, "open", &error);
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(wrap)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0)).map_err(wrap)?;
    match (application, tables) {
        (0, 0) => Ok(0),
        (APPLICATION_ID, _) => {
            let version: Option<u32> =
                connection.query_row("SELECT max(version) FROM schema_version", [], |row| row.get(0)).map_err(wrap)?;
            version.ok_or_else(|| not_a_catalog(path, "It has no schema version."))
        }
        _ => Err(not_a_catalog(path, "It is a SQLite database of another program.")),
    }
}

fn not_a_catalog(path: &Path, detail: &str) -> Error {
    Error::new(Code::DataCorrupted, format!("the file \"{}\" is not a weir catalog", path.display()))
        .detail(detail)
        .hint("Give another data directory, or move the file away.")
}

/// A commit returns when it is on the disk.
fn durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Where fsync does not reach the platter (macOS); elsewhere without effect.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)
}

/// Damage is found at start, not in the middle of a statement.
fn check_integrity(connection: &Connection, path: &Path) -> Result<()> {
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| sqlite_error(path, "read", &error))?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::new(Code::DataCorrupted, format!("the catalog \"{}\" is damaged", path.display()))
        .detail(format!("SQLite says: {found}."))
        .hint("Restore the file from a backup."))
}

/// Carries out the steps after `found`, each in its own transaction; keeps a copy of the old file first.
fn upgrade(connection: &mut Connection, path: &Path, found: u32, steps: &[Step]) -> Result<()> {
    let wrap = |error| sqlite_error(path, "upgrade", &error);
    let mut missing = steps.iter().filter(|step| step.to_version > found).peekable();
    if found > 0 && missing.peek().is_some() {
        back_up(connection, path, found)?;
    }
    for step in missing {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(wrap)?;
        if step.to_version == 1 {
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(wrap)?;
            transaction
                .execute_batch("CREATE TABLE schema_version (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT")
                .map_err(wrap)?;
        }
        (step.run)(&transaction).map_err(wrap)?;
        transaction
            .execute("INSERT INTO schema_version (version, applied_ms) VALUES (?1, ?2)", params![step.to_version, now_ms()])
            .map_err(wrap)?;
        transaction.commit().map_err(wrap)?;
        if found > 0 {
            tracing::info!(version = step.to_version, what = step.what, "catalog schema upgraded");
        }
    }
    Ok(())
}

/// The way back: `meta.v1.db` beside `meta.db`.
fn back_up(connection: &Connection, path: &Path, found: u32) -> Result<()> {
    let copy = path.with_extension(format!("v{found}.db"));
    let cannot =
        |error: &dyn std::fmt::Display| Error::new(Code::Io, format!("could not copy the catalog to \"{}\": {error}", copy.display()));
    // A copy from an upgrade that did not get to its end may be torn.
    if let Err(error) = std::fs::remove_file(&copy)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(cannot(&error));
    }
    let name = copy.to_str().ok_or_else(|| cannot(&"its path is not UTF-8"))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(|error| cannot(&error))?;
    File::open(&copy).and_then(|file| file.sync_all()).map_err(|error| cannot(&error))
}

/// A failure of SQLite, with the file that it is about.
fn sqlite_error(path: &Path, action: &str, error: &rusqlite::Error) -> Error {
    let path_text = path.display();
    let code = error.sqlite_error_code();
    let wrapped = match code {
        Some(ErrorCode::NotADatabase) => return not_a_catalog(path, "It is not a SQLite database."),
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::new(Code::DataCorrupted, format!("the catalog \"{path_text}\" is damaged")).hint("Restore the file from a backup.")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(Code::Unavailable, format!("the catalog \"{path_text}\" is locked by another program"))
                .hint("Close it and try again.")
        }
        Some(ErrorCode::DiskFull) => {
            Error::new(Code::Io, format!("could not {action} the catalog \"{path_text}\": no space left")).hint("Free space and try again.")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
            Error::new(Code::Io, format!("could not {action} the catalog \"{path_text}\""))
        }
        // A missing table or a column of another type: not a file that we wrote.
        _ => Error::new(Code::DataCorrupted, format!("could not {action} the catalog \"{path_text}\"")),
    };
    wrapped.detail(format!("SQLite says: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_an_error_and_the_next_write_works() {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, snapshot) = Store::open(&directory.path().join("meta.db"), STEPS).unwrap();
        let row = |comment: &str| {
            let database = Database { name: "big".into(), location: None, comment: Some(comment.into()), created_ms: 0 };
            Row::of(&Change::PutDatabase(database)).unwrap()
        };
        let (version, next) = (snapshot.version, snapshot.version + 1);
        let pages: i64 = store.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        let limit = |store: &Store, pages: i64| {
            store.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0)).unwrap();
        };
        limit(&store, pages);
        let error = store.write(version, next, &[row(&"x".repeat(100_000))]).unwrap_err();
        assert_eq!((error.code, error.message.ends_with("no space left")), (Code::Io, true), "{error}");
        assert!(!store.load().unwrap().databases.contains_key("big"));
        limit(&store, 1_000_000);
        store.write(version, next, &[row(&"x".repeat(100_000))]).unwrap();
        assert_eq!(store.load().unwrap().version, next);
        // Somebody else wrote meanwhile: nothing is lost by writing over it.
        let error = store.write(version, next, &[row("y")]).unwrap_err();
        assert!(error.message.ends_with("was changed from outside"), "{error}");
    }
}
