//! SEEK: other positions for a table's source, in its log before anything is read from there.

use super::progress::{EPOCH_TXN, NO_OFFSET, NO_TOPIC_ID, Progress, SEEK_TXN, offset_txns, topic_id_txn};
use crate::catalog::{Seek, SeekTo};
use crate::connect::Start;
use crate::connect::kafka::{self, KafkaOptions};
use crate::error::{Error, Result};
use crate::tables::managed::ManagedTable;
use crate::tables::streaming::SEEK_EPOCH_TXN;
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the brokers may take to say which offsets a SEEK means; after that it is tried again.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Carries a SEEK out: afterwards the log has its positions and its number. May be repeated, and may be dropped: what was
/// committed then is found by the next start.
///
/// # Errors
/// `Unavailable` or `UndefinedObject` when the brokers do not say which offsets are meant; else those of a commit.
pub fn carry_out<'a>(
    managed: &'a ManagedTable,
    options: &'a KafkaOptions,
    seek: &'a Seek,
    progress: &'a Progress,
) -> BoxFuture<'a, Result<()>> {
    Box::pin(async move {
        let topic = options.topic.as_str();
        let offsets = offsets(options, &seek.to, progress).await?;
        let mut txns = offset_txns(managed, topic, &offsets);
        txns.push((managed.txn_id(SEEK_TXN), seek.number));
        // An epoch of its own: a commit of the run before that is still on its way comes too late, and is refused, or was
        // faster, and this is: its offsets must not be passed over.
        txns.push((managed.txn_id(EPOCH_TXN), progress.epoch + 1));
        // Readers know rows of later commits for new ones, whatever their offsets.
        let sought: Vec<String> = match &seek.to {
            SeekTo::Offsets(offsets) => offsets.keys().map(|partition| format!("{SEEK_EPOCH_TXN}{}:{partition}", seek.number)).collect(),
            _ => vec![format!("{SEEK_EPOCH_TXN}{}", seek.number)],
        };
        txns.extend(sought.iter().map(|id| (managed.txn_id(id), progress.epoch + 1)));
        // The new offsets may be about another topic of the same name.
        txns.push((managed.txn_id(&topic_id_txn(topic)), NO_TOPIC_ID));
        managed.commit_txns(txns).await?;
        Ok(())
    })
}

/// What is known of the topic: the offset at which each partition starts, and the topic's identity.
type Answer = (BTreeMap<i32, i64>, Option<i64>);

fn ask(options: &KafkaOptions, start: Start) -> BoxFuture<'_, Result<Answer>> {
    let options = options.clone();
    Box::pin(async move {
        let asked = tokio::task::spawn_blocking(move || kafka::resolve(&options, start, TIMEOUT)).await;
        asked.map_err(|error| Error::internal(format!("SEEK: {error}")))?
    })
}

/// Where SEEK TO LATEST goes in a partition that ends at `now`, and ended at `then` when the statement ran: what arrived
/// since is read, but once, for the run before may have `committed` some of it. `is_same`: the brokers say that it is
/// the topic of the statement.
fn latest(now: i64, then: i64, committed: Option<i64>, is_same: bool) -> i64 {
    match committed {
        _ if then > now && is_same => now, // The last records were lost since, with the broker that had them alone.
        _ if then > now => 0,              // Another topic, made since: brokers of old do not say so.
        Some(committed) if committed <= now => then.max(committed),
        _ => then,
    }
}

/// The offsets that a SEEK means.
fn offsets<'a>(options: &'a KafkaOptions, to: &'a SeekTo, progress: &'a Progress) -> BoxFuture<'a, Result<BTreeMap<i32, i64>>> {
    Box::pin(async move {
        let committed = &progress.offsets;
        let resolved = match to {
            SeekTo::Offsets(offsets) => {
                let mut all = committed.clone();
                all.extend(offsets.iter().map(|(partition, offset)| (*partition, *offset)));
                return Ok(all);
            }
            SeekTo::Earliest => ask(options, Start::Earliest).await?.0,
            SeekTo::Latest => ask(options, Start::Latest).await?.0,
            SeekTo::TimestampMs(ms) => ask(options, Start::TimestampMs(*ms)).await?.0,
            SeekTo::LatestAt { ends, topic_id } => {
                let (mut resolved, found) = ask(options, Start::Latest).await?;
                let is_this = |known: Option<i64>| known.zip(found).is_none_or(|(known, found)| known == found);
                let (is_of_statement, is_of_log) = (is_this(*topic_id), is_this(progress.topic_id));
                let is_same = is_of_statement && topic_id.is_some() && found.is_some();
                for (partition, offset) in &mut resolved {
                    // A partition, or a topic, that was made since has only what arrived since.
                    let then = ends.get(partition).copied().filter(|_| is_of_statement).unwrap_or(0);
                    *offset = latest(*offset, then, committed.get(partition).copied().filter(|_| is_of_log), is_same);
                }
                resolved
            }
        };
        // A topic that was made anew may have fewer partitions: should they come back, they are new.
        Ok(committed.keys().map(|partition| (*partition, NO_OFFSET)).chain(resolved).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::storage::{Root, Storage};
    use crate::tables::managed::{ManagedTables, NewTable};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    #[test]
    fn after_latest_comes_what_arrived_since_the_statement() {
        // now, then, committed -> position
        for (now, then, committed, expected) in [
            (150, 150, Some(100), 150),
            (170, 150, Some(100), 150),
            // The run before went on until it was stopped.
            (170, 150, Some(160), 160),
            (170, 150, None, 150),
            // A partition that was added.
            (3, 0, None, 0),
            // Another topic of the name, made before the statement and after it.
            (20, 10, Some(1000), 10),
            (5, 900, Some(1000), 0),
            (5, 900, Some(3), 0),
        ] {
            assert_eq!(latest(now, then, committed, false), expected, "{now} {then} {committed:?}");
        }
        // The same topic, cut off.
        assert_eq!([latest(880, 900, Some(850), true), latest(950, 900, Some(850), true)], [880, 900]);
    }

    /// The commit of the run before may still be on its way when a SEEK is carried out: whichever comes first counts.
    #[tokio::test]
    async fn a_late_commit_does_not_undo_a_seek() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::open(directory.path(), Vec::<Root>::new()).unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let tables = ManagedTables::new(storage);
        let place = directory.path().canonicalize().unwrap().join("t");
        let table = tables.create("t1", "t", &place, NewTable::streaming(schema)).await.unwrap();
        let options = KafkaOptions::of_topic("events", "localhost:1", &[]).unwrap();
        let seek = |number, offset| Seek { number, to: SeekTo::Offsets(BTreeMap::from([(0, offset)])) };
        let commit = |epoch, offset| {
            let (table, offsets) = (&table, BTreeMap::from([(0, offset), (1, offset)]));
            async move { table.commit_epoch(epoch, &mut table.no_files(), offset_txns(table, "events", &offsets)).await }
        };
        commit(1, 100).await.unwrap();
        let before = Progress::of(&table, "events");
        carry_out(&table, &options, &seek(1, 5), &before).await.unwrap();
        assert_eq!(commit(2, 200).await.unwrap_err().code, Code::Conflict, "it was too late");
        let after = Progress::of(&table, "events");
        assert_eq!((after.epoch, after.seek, after.offsets), (2, 1, BTreeMap::from([(0, 5), (1, 100)])));
        commit(3, 300).await.unwrap();
        // Offsets that were read before it would have the rows of the third commit twice.
        assert_eq!(carry_out(&table, &options, &seek(2, 7), &before).await.unwrap_err().code, Code::Conflict);
        carry_out(&table, &options, &seek(2, 7), &Progress::of(&table, "events")).await.unwrap();
        assert_eq!(Progress::of(&table, "events").offsets, BTreeMap::from([(0, 7), (1, 300)]));
    }
}
