//! Checkpoints as JSON, for tables whose directory is read without the log: `**/*.parquet` must not find a checkpoint.
//!
//! DuckDB's glob reads `_delta_log/*.checkpoint.parquet` as data (measured: its count is too high). The V2 checkpoints of
//! the Delta protocol may be JSON under a name with a UUID; Spark, the Delta kernel and `deltalake` read them. The crate
//! does not write them: here the actions of the log are replayed as they stand, without understanding their fields.

use super::log::TableLog;
use crate::error::Result;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The actions that make up a version.
#[derive(Debug, Default)]
struct Actions {
    /// The newest `protocol` and `metaData`.
    single: BTreeMap<&'static str, Value>,
    /// The newest of each name.
    txns: BTreeMap<String, Value>,
    domains: BTreeMap<String, Value>,
    /// By path: the files of the version, and those that were removed.
    adds: BTreeMap<String, Value>,
    removes: BTreeMap<String, Value>,
}

/// Writes a checkpoint of a version, and returns where. Removed files are remembered from `cutoff_ms` on.
///
/// # Errors
/// `Io` when the log cannot be read or written, `DataCorrupted` when an entry of it is missing or no JSON.
pub fn write(log: &TableLog, version: u64, cutoff_ms: i64) -> BoxFuture<'_, Result<Path>> {
    Box::pin(async move {
        let mut actions = Actions::default();
        let before = newest(&list(log).await?, version);
        if let Some((_, path)) = &before {
            let bytes = log.store.get(path).await.map_err(|error| log.unreadable(&error))?;
            actions.replay(log, &bytes.bytes().await.map_err(|error| log.unreadable(&error))?)?;
        }
        for entry in before.map_or(0, |(number, _)| number + 1)..=version {
            let Some(bytes) = log.read(entry).await? else { return Err(log.corrupted(&format!("version {entry} is missing"))) };
            actions.replay(log, &bytes)?;
        }
        let path = Path::from("_delta_log").join(format!("{version:020}.checkpoint.{}.json", uuid::Uuid::new_v4()));
        let bytes = actions.lines(version, cutoff_ms);
        log.store.put(&path, bytes.into()).await.map_err(|error| log.unreadable(&error))?;
        Ok(path)
    })
}

/// Deletes the checkpoints of versions whose entries are gone: a newer checkpoint stands for them.
pub fn clean(log: &TableLog) -> BoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let objects = list(log).await?;
        let Some(first) = objects.iter().filter_map(|object| entry_version(&object.location)).min() else { return Ok(()) };
        for object in &objects {
            if checkpoint_version(&object.location).is_some_and(|version| version < first) {
                log.store.delete(&object.location).await.map_err(|error| log.unreadable(&error))?;
            }
        }
        Ok(())
    })
}

/// The newest JSON checkpoint up to a version.
pub fn newest(objects: &[ObjectMeta], version: u64) -> Option<(u64, Path)> {
    let found = objects.iter().filter_map(|object| Some((checkpoint_version(&object.location)?, object.location.clone())));
    found.filter(|(number, _)| *number <= version).max()
}

async fn list(log: &TableLog) -> Result<Vec<ObjectMeta>> {
    log.store.list(Some(&Path::from("_delta_log"))).try_collect().await.map_err(|error| log.unreadable(&error))
}

/// The version of a JSON checkpoint, by its name.
fn checkpoint_version(path: &Path) -> Option<u64> {
    let (number, rest) = path.filename()?.split_once(".checkpoint.")?;
    let uuid = rest.strip_suffix(".json")?;
    uuid::Uuid::try_parse(uuid).ok()?;
    number.parse().ok()
}

fn entry_version(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

impl Actions {
    fn replay(&mut self, log: &TableLog, lines: &Bytes) -> Result<()> {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)) {
            let action: Map<String, Value> =
                serde_json::from_slice(line).map_err(|error| log.corrupted(&format!("an action is no JSON object: {error}")))?;
            for (kind, action) in action {
                self.apply(&kind, action);
            }
        }
        Ok(())
    }

    fn apply(&mut self, kind: &str, action: Value) {
        let text = |field: &str| action.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind {
            "protocol" => drop(self.single.insert("protocol", action)),
            "metaData" => drop(self.single.insert("metaData", action)),
            "txn" => drop(self.txns.insert(text("appId"), action)),
            "domainMetadata" => drop(self.domains.insert(text("domain"), action)),
            "add" => {
                let path = text("path");
                self.removes.remove(&path);
                self.adds.insert(path, action);
            }
            "remove" => {
                let path = text("path");
                self.adds.remove(&path);
                self.removes.insert(path, action);
            }
            // Comments, and the head of the checkpoint before.
            _ => {}
        }
    }

    /// The checkpoint, an action a line.
    fn lines(self, version: u64, cutoff_ms: i64) -> Vec<u8> {
        let mut lines = Vec::new();
        let mut write = |kind: &str, action: Value| {
            lines.extend_from_slice(Value::Object(Map::from_iter([(kind.to_owned(), action)])).to_string().as_bytes());
            lines.push(b'\n');
        };
        write("checkpointMetadata", serde_json::json!({ "version": version }));
        self.single.into_iter().for_each(|(kind, action)| write(kind, action));
        self.txns.into_values().for_each(|action| write("txn", action));
        let is_removed = |action: &Value| action.get("removed").and_then(Value::as_bool).unwrap_or(false);
        self.domains.into_values().filter(|action| !is_removed(action)).for_each(|action| write("domainMetadata", action));
        self.adds.into_values().for_each(|action| write("add", unchanged(action)));
        let removed_ms = |action: &Value| action.get("deletionTimestamp").and_then(Value::as_i64).unwrap_or(0);
        self.removes.into_values().filter(|action| removed_ms(action) >= cutoff_ms).for_each(|action| write("remove", unchanged(action)));
        lines
    }
}

/// In a checkpoint no action is a change of data.
fn unchanged(mut action: Value) -> Value {
    if let Some(fields) = action.as_object_mut() {
        fields.insert("dataChange".to_owned(), Value::Bool(false));
    }
    action
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_action_stays() {
        let mut actions = Actions::default();
        for (kind, action) in [
            ("protocol", r#"{"minReaderVersion":1}"#),
            ("metaData", r#"{"id":"a"}"#),
            ("add", r#"{"path":"one","dataChange":true}"#),
            ("add", r#"{"path":"two","dataChange":true}"#),
            ("txn", r#"{"appId":"x","version":1}"#),
            ("txn", r#"{"appId":"x","version":2}"#),
            ("remove", r#"{"path":"one","deletionTimestamp":100,"dataChange":true}"#),
            ("remove", r#"{"path":"old","deletionTimestamp":99}"#),
            ("remove", r#"{"path":"back","deletionTimestamp":100}"#),
            ("add", r#"{"path":"back","dataChange":true}"#),
            ("commitInfo", "{}"),
        ] {
            actions.apply(kind, serde_json::from_str(action).unwrap());
        }
        let text = String::from_utf8(actions.lines(7, 100)).unwrap();
        let expected = [
            r#"{"checkpointMetadata":{"version":7}}"#,
            r#"{"metaData":{"id":"a"}}"#,
            r#"{"protocol":{"minReaderVersion":1}}"#,
            r#"{"txn":{"appId":"x","version":2}}"#,
            r#"{"add":{"dataChange":false,"path":"back"}}"#,
            r#"{"add":{"dataChange":false,"path":"two"}}"#,
            r#"{"remove":{"dataChange":false,"deletionTimestamp":100,"path":"one"}}"#,
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_tell_checkpoints_from_entries() {
        let path = |name: &str| Path::from(format!("_delta_log/{name}"));
        let checkpoint = path("00000000000000000100.checkpoint.67e55044-10b1-426f-9247-bb680e5fe0c8.json");
        assert_eq!((checkpoint_version(&checkpoint), entry_version(&checkpoint)), (Some(100), None));
        let entry = path("00000000000000000100.json");
        assert_eq!((checkpoint_version(&entry), entry_version(&entry)), (None, Some(100)));
        assert_eq!(checkpoint_version(&path("00000000000000000100.checkpoint.parquet")), None);
    }
}
