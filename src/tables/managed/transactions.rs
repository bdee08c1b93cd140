//! The transactions of a log: all application ids in one pass over the newest checkpoint and the entries after it.
//!
//! The crate answers for one application id at a time, each time with a replay of the log.

use super::json_checkpoint;
use super::log::TableLog;
use super::version::Txns;
use crate::error::Result;
use bytes::Bytes;
use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A checkpoint: one file, or several parts.
#[derive(Debug, Default)]
struct Checkpoint {
    version: u64,
    parts: Vec<Path>,
}

/// The newest version of each transaction, as of a version of the log.
pub fn load<'a>(log: &'a TableLog, version: u64) -> BoxFuture<'a, Result<Txns>> {
    Box::pin(async move {
        let objects: Vec<ObjectMeta> =
            log.store.list(Some(&Path::from("_delta_log"))).try_collect().await.map_err(|error| log.unreadable(&error))?;
        let mut txns = Txns::default();
        let mut checkpoint = newest_checkpoint(objects.iter().map(|object| &object.location), version);
        if let Some((number, path)) = json_checkpoint::newest(&objects, version)
            && checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.version <= number)
        {
            let bytes = log.store.get(&path).await.map_err(|error| log.unreadable(&error))?;
            let bytes = bytes.bytes().await.map_err(|error| log.unreadable(&error))?;
            read_lines(&bytes, &mut txns);
            checkpoint = Some(Checkpoint { version: number, parts: Vec::new() });
        }
        for part in checkpoint.iter().flat_map(|checkpoint| &checkpoint.parts) {
            let bytes = log.store.get(part).await.map_err(|error| log.unreadable(&error))?;
            let bytes = bytes.bytes().await.map_err(|error| log.unreadable(&error))?;
            read_checkpoint(bytes, &mut txns).map_err(|error| log.unreadable(&error))?;
        }
        for entry in checkpoint.map_or(0, |checkpoint| checkpoint.version + 1)..=version {
            let Some(bytes) = log.read(entry).await? else { return Err(log.corrupted(&format!("version {entry} is missing"))) };
            read_lines(&bytes, &mut txns);
        }
        Ok(txns)
    })
}

/// The newest checkpoint up to a version that is there with all its parts.
fn newest_checkpoint<'a>(paths: impl Iterator<Item = &'a Path>, version: u64) -> Option<Checkpoint> {
    let mut found: std::collections::BTreeMap<(u64, usize), Vec<Path>> = std::collections::BTreeMap::new();
    for path in paths {
        let Some((number, rest)) = path.filename().and_then(|name| name.split_once(".checkpoint.")) else { continue };
        let Ok(number) = number.parse::<u64>() else { continue };
        let Some(rest) = (if rest == "parquet" { Some("") } else { rest.strip_suffix(".parquet") }) else { continue };
        // `<part>.<parts>`, or nothing for a checkpoint of one file; other names belong to formats that we refuse.
        let n_parts = match rest.split_once('.') {
            None if rest.is_empty() => 1,
            Some((_, parts)) => parts.parse().unwrap_or(0),
            None => 0,
        };
        if number <= version && n_parts > 0 {
            found.entry((number, n_parts)).or_default().push(path.clone());
        }
    }
    let whole = found.into_iter().rev().find(|((_, n_parts), parts)| parts.len() == *n_parts);
    whole.map(|((version, _), parts)| Checkpoint { version, parts })
}

fn read_checkpoint(bytes: Bytes, txns: &mut Txns) -> datafusion::common::Result<()> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["txn.appId", "txn.version"]);
    for batch in reader.with_projection(mask).build()? {
        read_txns(&batch?, txns);
    }
    Ok(())
}

fn read_txns(batch: &RecordBatch, txns: &mut Txns) {
    let Some(rows) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt()) else { return };
    let app_ids = rows.column_by_name("appId").and_then(|column| column.as_string_opt::<i32>());
    let versions = rows.column_by_name("version").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(app_ids), Some(versions)) = (app_ids, versions) else { return };
    for row_idx in (0..rows.len()).filter(|&row_idx| rows.is_valid(row_idx) && app_ids.is_valid(row_idx)) {
        txns.set(app_ids.value(row_idx), versions.value(row_idx));
    }
}

fn read_lines(bytes: &Bytes, txns: &mut Txns) {
    for (app_id, version) in bytes.split(|byte| *byte == b'\n').filter_map(txn_of) {
        txns.set(&app_id, version);
    }
}

fn txn_of(line: &[u8]) -> Option<(String, i64)> {
    // Most lines are files, with long statistics: not worth parsing.
    let is_candidate = line.len() > 6 && line[..line.len().min(16)].windows(5).any(|part| part == b"\"txn\"");
    let action: serde_json::Value = is_candidate.then(|| serde_json::from_slice(line).ok())??;
    let txn = action.get("txn")?;
    Some((txn.get("appId")?.as_str()?.to_owned(), txn.get("version")?.as_i64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], version: u64, expected: Option<(u64, usize)>) {
        let paths: Vec<Path> = names.iter().map(|name| Path::from(format!("_delta_log/{name}"))).collect();
        let found = newest_checkpoint(paths.iter(), version);
        assert_eq!(found.map(|checkpoint| (checkpoint.version, checkpoint.parts.len())), expected, "{names:?} up to {version}");
    }

    #[test]
    fn only_whole_checkpoints_count() {
        let single = "00000000000000000100.checkpoint.parquet";
        let parts = [
            "00000000000000000200.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000200.checkpoint.0000000002.0000000002.parquet",
        ];
        check(&["_last_checkpoint", "00000000000000000100.json"], 300, None);
        check(&[single, parts[0]], 300, Some((100, 1)));
        check(&[single, parts[0], parts[1]], 300, Some((200, 2)));
        check(&[single, parts[0], parts[1]], 199, Some((100, 1)));
        check(&["00000000000000000100.checkpoint.67e55044-10b1-426f-9247-bb680e5fe0c8.parquet"], 300, None);
    }

    #[test]
    fn transactions_are_found_in_lines() {
        assert_eq!(txn_of(br#"{"txn":{"appId":"a:\"b\"","version":7,"lastUpdated":1}}"#), Some(("a:\"b\"".to_owned(), 7)));
        assert_eq!(txn_of(br#" { "txn" : {"appId":"a","version":-1}}"#), Some(("a".to_owned(), -1)));
        assert_eq!(txn_of(br#"{"add":{"path":"\"txn\""}}"#), None);
        assert_eq!(txn_of(b""), None);
    }
}
