//! Commits of a stream: rows and positions together, exactly once whatever fails, and the positions after a restart.

use super::faults::{Fault, FaultyStore, commit_foreign};
use super::*;
use datafusion::arrow::array::{Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field};
use futures::FutureExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

const OFFSET: &str = "offset:events:0";
const ROWS: i64 = 10;
const ALL: &str = "SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t";

pub fn stream_schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("p", DataType::Utf8, true),
        Field::new("_kafka_offset", DataType::Int64, true),
        Field::new("_weir_epoch", DataType::Int64, true),
    ])
}

impl World {
    pub async fn create_stream(&self, tables: &ManagedTables, new: NewTable) -> Result<Arc<ManagedTable>> {
        tables.create("t1", "t", &self.path(), new).await
    }

    /// Durable files with the rows `from..to`.
    pub async fn epoch(&self, table: &ManagedTable, epoch: i64, from: i64, to: i64) -> Result<EpochFiles> {
        let ids = Arc::new(Int64Array::from_iter_values(from..to));
        let partitions = Arc::new(StringArray::from_iter_values((from..to).map(|id| format!("p{}", id % 2))));
        let epochs = Arc::new(Int64Array::from_iter_values((from..to).map(|_| epoch)));
        let rows = RecordBatch::try_new(table.schema(), vec![ids.clone(), partitions, ids, epochs]).unwrap();
        let mut writer = table.epoch_writer(&self.session.runtime_env().memory_pool);
        writer.write(&rows).await?;
        writer.finish().await
    }

    /// Cuts, writes and commits one epoch of rows after what the log has.
    pub async fn commit_rows(&self, table: &ManagedTable, n_rows: i64) -> Result<u64> {
        let pin = table.pin();
        let from = pin.txn(&table.txn_id(OFFSET)).unwrap_or(0);
        let epoch = pin.txn(&table.txn_id("epoch")).unwrap_or(0) + 1;
        let mut files = self.epoch(table, epoch, from, from + n_rows).await?;
        let txns = vec![(table.txn_id(OFFSET), from + n_rows)];
        let mut n_attempts = 0;
        loop {
            match table.commit_epoch(epoch, &mut files, txns.clone()).await {
                Err(error) if error.code == Code::Unavailable && n_attempts < 2 => n_attempts += 1,
                result => return result,
            }
        }
    }
}

/// A stream over a source of 40 records: from its positions to the end, or to the first error.
async fn run(world: &World, table: &ManagedTable) -> Result<()> {
    while table.pin().txn(&table.txn_id(OFFSET)).unwrap_or(0) < 4 * ROWS {
        world.commit_rows(table, ROWS).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_each_record_is_there_once() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::Lie, Fault::LieExists, Fault::Failure, Fault::Panic] {
        for at_write in 0.. {
            let world = World::new();
            let store = FaultyStore::new(&world, fault, at_write);
            let new = NewTable { partition_columns: vec!["p".to_owned()], ..NewTable::streaming(Arc::new(stream_schema())) };
            let life = async {
                let table = world.create_stream(&store.tables(&world), new).await?;
                run(&world, &table).await
            };
            // A panic outside of the committer goes through the job.
            drop(AssertUnwindSafe(life).catch_unwind().await);
            let n_writes = store.n_writes();
            let Ok(table) = world.tables().open("t1", "t", &world.path()).await else {
                assert_eq!(at_write, 0, "{fault:?}: only the creation may leave no table");
                continue;
            };
            run(&world, &table).await.unwrap();
            assert_eq!(world.query(&table, ALL).await, ["40|40|0|39"], "{fault:?} at write {at_write}");
            assert_eq!(table.pin().txn(&table.txn_id("epoch")), Some(4), "{fault:?} at write {at_write}");
            until(|| world.parquet_files() == World::live_files(&table)).await;
            if n_writes <= at_write {
                assert!(at_write > 8, "the faults reached every write");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_in_doubt_is_found_out_by_asking_again() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter] {
        let world = World::new();
        // Writes: version 0, one data file, and then the entry that stays in doubt.
        let store = FaultyStore::new(&world, fault, 2);
        let table = world.create_stream(&store.tables(&world), NewTable::streaming(Arc::new(stream_schema()))).await.unwrap();
        let mut files = world.epoch(&table, 1, 0, 5).await.unwrap();
        let txns = vec![(table.txn_id(OFFSET), 5)];
        for _ in 0..2 {
            let error = table.commit_epoch(1, &mut files, txns.clone()).await.unwrap_err();
            assert_eq!(error.code, Code::Unavailable, "{error}");
        }
        store.heal();
        assert_eq!(table.commit_epoch(1, &mut files, txns.clone()).await.unwrap(), 1);
        drop(files);
        assert_eq!(table.commit_epoch(1, &mut table.no_files(), txns).await.unwrap(), 1, "what the log has is a success");
        // The same epoch with other rows is another epoch.
        let mut others = world.epoch(&table, 1, 0, 7).await.unwrap();
        let error = table.commit_epoch(1, &mut others, vec![(table.txn_id(OFFSET), 7)]).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "epoch 1 of table \"t\" was committed with other rows"));
        drop(others);
        until(|| world.parquet_files() == World::live_files(&table)).await;
        assert_eq!(world.query(&table, ALL).await, ["5|5|0|4"], "{fault:?}");
        assert_eq!(world.query(world.reopen().await.as_ref(), ALL).await, ["5|5|0|4"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_in_doubt_survives_other_statements() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter] {
        let world = World::new();
        let store = FaultyStore::new(&world, fault, 2);
        let table = world.create_stream(&store.tables(&world), NewTable::streaming(Arc::new(stream_schema()))).await.unwrap();
        let mut files = world.epoch(&table, 1, 0, 5).await.unwrap();
        let txns = vec![(table.txn_id(OFFSET), 5)];
        assert_eq!(table.commit_epoch(1, &mut files, txns.clone()).await.unwrap_err().code, Code::Unavailable);
        store.heal();
        world.insert(&table, "SELECT -1 AS id, 'a' AS p, NULL AS o, NULL AS e", WriteMode::Append).await.unwrap();
        table.commit_epoch(1, &mut files, txns).await.unwrap();
        assert_eq!(world.query(&table, ALL).await, ["6|6|-1|4"], "{fault:?}");
        assert_eq!(world.query(world.reopen().await.as_ref(), ALL).await, ["6|6|-1|4"], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_may_move_without_rows_and_back() {
    let world = World::new();
    let table = world.create_stream(&world.tables(), NewTable::streaming(Arc::new(stream_schema()))).await.unwrap();
    assert_eq!(table.pin().txn(&table.txn_id(OFFSET)), None);
    table.commit_epoch(1, &mut table.no_files(), vec![(table.txn_id(OFFSET), 500)]).await.unwrap();
    let before = table.pin();
    let seek = vec![(table.txn_id("seek"), 1), (table.txn_id(OFFSET), 20)];
    let version = table.commit_txns(seek.clone()).await.unwrap();
    assert_eq!(table.commit_txns(seek).await.unwrap(), version, "repeated");
    assert_eq!(table.version(), version);
    assert_eq!((before.txn(&table.txn_id(OFFSET)), table.pin().txn(&table.txn_id(OFFSET))), (Some(500), Some(20)));
    world.commit_rows(&table, 5).await.unwrap();
    assert_eq!(world.query(&table, ALL).await, ["5|5|20|24"]);
    assert_eq!((table.pin().n_files(), before.n_files(), before.n_bytes()), (1, 0, 0));
    assert!(table.pin().n_bytes() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stream_ends_the_first() {
    let world = World::new();
    let table = world.create_stream(&world.tables(), NewTable::streaming(Arc::new(stream_schema()))).await.unwrap();
    world.commit_rows(&table, ROWS).await.unwrap();
    let second = world.reopen().await;
    world.commit_rows(&second, ROWS).await.unwrap();
    for _ in 0..2 {
        let error = world.commit_rows(&table, ROWS).await.unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::Conflict, "table \"t\" was taken over by another server"));
    }
    world.commit_rows(&second, ROWS).await.unwrap();
    assert_eq!(world.query(&second, ALL).await, ["30|30|0|29"]);
    until(|| world.parquet_files() == World::live_files(&second)).await;

    // A program that moves our positions without fencing us: stop, rather than read records twice.
    let entry = format!(r#"{{"txn":{{"appId":"{}","version":1000}}}}"#, second.txn_id(OFFSET));
    commit_foreign(&world, &second, &[entry]).await;
    let error = world.commit_rows(&second, ROWS).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    assert!(error.detail.unwrap().contains("offset:events:0"));
}

/// How the user's columns are written in the table's files: name, codec, whether there is a dictionary, whether there are bounds.
fn columns_of_files(world: &World, table: &ManagedTable) -> BTreeSet<(String, String, bool, bool)> {
    let mut found = BTreeSet::new();
    for name in World::live_files(table) {
        let file = std::fs::File::open(world.path().join(name)).unwrap();
        let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().clone();
        let columns = metadata.row_groups().iter().flat_map(RowGroupMetaData::columns);
        found.extend(columns.filter(|column| !column.column_path().string().starts_with('_')).map(|column| {
            let codec = column.compression().to_string();
            let has_bounds = column.statistics().is_some_and(|statistics| statistics.min_bytes_opt().is_some());
            (column.column_path().string(), codec, column.dictionary_page_offset().is_some(), has_bounds)
        }));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_epochs_are_quick_to_write_and_merged_ones_small() {
    let world = World::new();
    let table = world.create_stream(&world.tables(), NewTable::streaming(Arc::new(stream_schema()))).await.unwrap();
    for _ in 0..2 {
        world.commit_rows(&table, ROWS).await.unwrap();
    }
    let column = |name: &str, codec: &str, has_dictionary, has_bounds| (name.to_owned(), codec.to_owned(), has_dictionary, has_bounds);
    let of_epochs = [column("id", "SNAPPY", false, true), column("p", "SNAPPY", false, false)];
    assert_eq!(columns_of_files(&world, &table), BTreeSet::from(of_epochs));
    table.optimize(&world.pool()).await.unwrap();
    let merged = [column("id", "ZSTD(ZstdLevel(1))", true, true), column("p", "ZSTD(ZstdLevel(1))", true, true)];
    assert_eq!(columns_of_files(&world, &table), BTreeSet::from(merged));
    assert_eq!(world.query(&table, ALL).await, ["20|20|0|19"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_what_memory_had_behind_checkpoints_and_a_cleaned_log() {
    for layout in [Layout::Delta, Layout::Parquet] {
        finds_what_memory_had(layout).await;
    }
}

async fn finds_what_memory_had(layout: Layout) {
    let world = World::new();
    let new = NewTable { log_retention: Duration::ZERO, layout, ..NewTable::streaming(Arc::new(stream_schema())) };
    let tables = world.tables();
    let table = world.create_stream(&tables, new).await.unwrap();
    table.commit_txns(vec![(table.txn_id("seek"), 3), ("somebody else's".to_owned(), -1)]).await.unwrap();
    while table.version() < 173 {
        world.commit_rows(&table, 1).await.unwrap();
    }
    tables.shutdown().await;
    let entries = std::fs::read_dir(world.path().join("_delta_log")).unwrap();
    let entries: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(entries.len() < 150, "{} entries in the log: it is cleaned behind checkpoints", entries.len());
    assert!(!entries.contains(&format!("{:020}.json", 0)), "{entries:?}");
    // `**/*.parquet` must find rows only where the listing is the truth.
    let has_parquet = entries.iter().any(|name| name.ends_with(".parquet"));
    assert_eq!(has_parquet, layout == Layout::Delta, "{entries:?}");
    let reopened = world.reopen().await;
    let txns = |table: &ManagedTable| {
        let fence = table.txn_id("gen");
        table.pin().txns().filter(|(app_id, _)| *app_id != fence).map(|(app_id, txn)| (app_id.to_owned(), txn)).collect::<Vec<_>>()
    };
    assert_eq!(txns(&reopened), txns(&table));
    assert_eq!(txns(&reopened).len(), 4);
    assert_eq!(World::live_files(&reopened), World::live_files(&table));
    assert_eq!(reopened.pin().txn(&reopened.txn_id("gen")), Some(2));
    assert_eq!(world.query(&reopened, ALL).await, ["172|172|0|171"]);
}
