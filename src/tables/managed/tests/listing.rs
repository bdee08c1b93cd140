//! Tables whose listing is the truth: young files are hidden, mature ones shown, at every moment and after every death.

use super::faults::{Fault, FaultyStore};
use super::*;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use futures::FutureExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::panic::AssertUnwindSafe;

fn parquet_table() -> NewTable {
    NewTable { partition_columns: vec!["p".to_owned()], layout: Layout::Parquet, ..NewTable::streaming(Arc::new(epochs::stream_schema())) }
}

impl World {
    /// The ids in all files that a listing of `**/*.parquet` finds, as a reader that knows no log would see them.
    fn listed_ids(&self) -> Vec<i64> {
        let mut ids = Vec::new();
        for name in self.parquet_files() {
            let file = match std::fs::File::open(self.path().join(name)) {
                // Collected since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.unwrap(),
            };
            for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                ids.extend(batch.unwrap().column_by_name("id").unwrap().as_primitive::<Int64Type>().values());
            }
        }
        ids.sort_unstable();
        ids
    }
}

const SUMS: &str = "SELECT count(*), count(DISTINCT id), max(id) FROM t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_shows_rows_when_they_are_mature_and_never_twice() {
    let world = World::new();
    let table = world.create_stream(&world.tables(), parquet_table()).await.unwrap();
    for _ in 0..3 {
        world.commit_rows(&table, 10).await.unwrap();
    }
    assert_eq!(world.query(&table, SUMS).await, ["30|30|29"], "young rows are there at once");
    assert_eq!(world.listed_ids(), Vec::<i64>::new());
    assert_eq!(table.mature(&world.pool(), false).await.unwrap(), OptimizeReport::default(), "neither many nor old");
    let report = table.mature(&world.pool(), true).await.unwrap();
    assert_eq!((report.n_files_before, report.n_files_after), (6, 2));
    assert_eq!(world.listed_ids(), (0..30).collect::<Vec<_>>());
    world.commit_rows(&table, 10).await.unwrap();
    let mature = world.parquet_files();
    assert_eq!(world.listed_ids(), (0..30).collect::<Vec<_>>());
    table.optimize(&world.pool()).await.unwrap();
    assert_eq!(world.listed_ids(), (0..40).collect::<Vec<_>>());
    assert!(world.parquet_files().is_superset(&mature), "mature files are never written again");
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, SUMS).await, ["40|40|39"]);
        assert_eq!(world.query(table, "SELECT count(*) FROM t WHERE p = 'p1'").await, ["20"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_row_leaves_the_listing_as_soon_as_nobody_reads_it() {
    let world = World::new();
    let table = world.create_stream(&world.tables(), parquet_table()).await.unwrap();
    world.commit_rows(&table, 10).await.unwrap();
    table.mature(&world.pool(), true).await.unwrap();
    let pin = table.pin();
    table.truncate().await.unwrap();
    world.commit_rows(&table, 10).await.unwrap();
    assert_eq!(world.query_at(table.snapshot_of(&pin), SUMS).await, ["10|10|9"], "a pin holds its files");
    drop(pin);
    drop(world.session.deregister_table("t").unwrap());
    world.commit_rows(&table, 10).await.unwrap();
    until(|| world.listed_ids().is_empty()).await;
    assert_eq!(world.query(&table, SUMS).await, ["20|20|29"]);
}

/// Cuts epochs and makes them mature until the fault.
async fn live(world: &World, store: &Arc<FaultyStore>) -> Result<()> {
    let table = world.create_stream(&store.tables(world), parquet_table()).await?;
    for round in 0..4 {
        world.commit_rows(&table, 10).await?;
        if round % 2 == 1 {
            table.mature(&world.pool(), true).await?;
        }
    }
    table.truncate().await?;
    world.commit_rows(&table, 10).await?;
    table.mature(&world.pool(), true).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_death_makes_a_listing_lie() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::Lie, Fault::Failure] {
        for at_write in 0.. {
            let world = World::new();
            let store = FaultyStore::new(&world, fault, at_write);
            drop(AssertUnwindSafe(live(&world, &store)).catch_unwind().await);
            let n_writes = store.n_writes();
            let unique = |ids: &[i64]| ids.windows(2).all(|pair| pair[0] < pair[1]);
            if matches!(fault, Fault::DeathBefore | Fault::DeathAfter) {
                assert!(unique(&world.listed_ids()), "{fault:?} at write {at_write}: {:?}", world.listed_ids());
            }
            let Ok(table) = world.tables().open("t1", "t", &world.path()).await else {
                assert_eq!(at_write, 0, "{fault:?}: only the creation may leave no table");
                continue;
            };
            let rows = || async { world.query(&table, "SELECT id FROM t ORDER BY id").await };
            let committed: Vec<i64> = rows().await.iter().map(|id| id.parse().unwrap()).collect();
            let listed = world.listed_ids();
            assert!(unique(&listed) && unique(&committed), "{fault:?} at write {at_write}: listed {listed:?}");
            assert!(listed.iter().all(|id| committed.contains(id)), "{fault:?} at write {at_write}: {listed:?} of {committed:?}");
            table.optimize(&world.pool()).await.unwrap();
            assert_eq!(world.listed_ids(), committed, "{fault:?} at write {at_write}: all is mature");
            if n_writes <= at_write {
                assert!(at_write > 12, "the faults reached every write");
                break;
            }
        }
    }
}
