//! OPTIMIZE and automatic compaction: the same rows in fewer files, while everybody goes on.

use super::faults::{Fault, FaultyStore};
use super::*;
use datafusion::execution::memory_pool::MemoryPool;

impl World {
    pub fn pool(&self) -> Arc<dyn MemoryPool> {
        Arc::clone(&self.session.runtime_env().memory_pool)
    }
}

const SUMS: &str = "SELECT count(*), count(DISTINCT id), sum(id) FROM t";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_files_become_one_for_each_partition() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT 1 AS id, 'a' AS p, CAST('NaN' AS DOUBLE) AS x, NULL AS s").await;
    for (id, x) in [(2, "0.5"), (3, "NULL"), (4, "-7.0")] {
        let sql = format!("SELECT {id}, CASE WHEN {id} = 3 THEN NULL ELSE 'a' END, {x}, 's{id}'");
        world.insert(&table, &sql, WriteMode::Append).await.unwrap();
    }
    let all = "SELECT id, p, x, s FROM t ORDER BY id";
    let (before, pin) = (world.query(&table, all).await, table.pin());
    let report = table.optimize(&world.pool()).await.unwrap();
    assert_eq!((report.n_files_before, report.n_files_after), (3, 1), "a partition with one file stays as it is");
    assert_eq!(table.version(), pin.number() + 1, "one commit");
    let entry = std::fs::read_to_string(world.path().join("_delta_log").join(format!("{:020}.json", table.version()))).unwrap();
    assert_eq!(entry.matches(r#""dataChange":false"#).count(), 4, "{entry}");
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, all).await, before);
        assert_eq!(world.query(table, "SELECT id FROM t WHERE x > 100").await, ["1"], "NaN is above all numbers");
        assert_eq!(world.query(table, "SELECT count(x), min(x) FROM t").await, ["3|-7.0"]);
        assert_eq!(table.pin().n_files(), 2);
    }
    assert_eq!(world.query_at(table.snapshot_of(&pin), all).await, before, "a pinned version still has its files");
    assert_eq!(table.optimize(&world.pool()).await.unwrap(), OptimizeReport::default(), "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_small_commits_keeps_few_files() {
    let world = World::new();
    let new = NewTable { partition_columns: vec!["p".to_owned()], ..NewTable::streaming(Arc::new(epochs::stream_schema())) };
    let table = world.create_stream(&world.tables(), new).await.unwrap();
    let mut n_files_max = 0;
    for _ in 0..150 {
        world.commit_rows(&table, 10).await.unwrap();
        table.maybe_compact(&world.pool()).await.unwrap();
        n_files_max = n_files_max.max(table.pin().n_files());
    }
    assert!((40..=128).contains(&n_files_max), "{n_files_max} files in two partitions");
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, SUMS).await, ["1500|1500|1124250"]);
        let epochs = "SELECT count(*), max(n), max(_weir_epoch) FROM (SELECT _weir_epoch, count(*) AS n FROM t GROUP BY _weir_epoch)";
        assert_eq!(world.query(table, epochs).await, ["150|10|150"], "epochs survive");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_win_against_a_compaction() {
    let world = Arc::new(World::new());
    let table = world.create(&[], "SELECT 0 AS id").await;
    for round in 0..12 {
        for id in 0..3 {
            world.insert(&table, &format!("SELECT {id}"), WriteMode::Append).await.unwrap();
        }
        let compaction = {
            let (table, pool) = (Arc::clone(&table), world.pool());
            task::spawn("compaction", async move { table.optimize(&pool).await })
        };
        let mode = if round % 2 == 0 { WriteMode::OverwriteTable } else { WriteMode::Append };
        let expected = if round % 2 == 0 { 1 } else { world.query(&table, "SELECT id FROM t").await.len() + 1 };
        world.insert(&table, &format!("SELECT {}", 100 + round), mode).await.unwrap();
        compaction.await.unwrap().unwrap();
        assert_eq!(world.query(&table, "SELECT id FROM t").await.len(), expected, "round {round}");
        table.vacuum(Duration::ZERO, false).await.unwrap();
        assert_eq!(world.parquet_files(), World::live_files(&table), "round {round}: nothing is left of a lost race");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compaction_that_fails_anywhere_changes_no_row() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::Lie, Fault::LieExists, Fault::Failure, Fault::Panic] {
        // Writes: version 0, three times a file and an entry, and then those of the compaction.
        for at_write in 7..10 {
            let world = World::new();
            let store = FaultyStore::new(&world, fault, at_write);
            let schema = nullable(&world.schema_of("SELECT 1 AS id").await);
            let table = world.create_empty(&store.tables(&world), &[], &schema).await.unwrap();
            for id in 0..3 {
                world.insert(&table, &format!("SELECT {id}"), WriteMode::Append).await.unwrap();
            }
            let failed = table.optimize(&world.pool()).await.is_err();
            assert_eq!(world.query(&table, SUMS).await, ["3|3|3"], "{fault:?} at write {at_write}");
            store.heal();
            table.optimize(&world.pool()).await.unwrap();
            assert_eq!(world.query(&table, SUMS).await, ["3|3|3"], "{fault:?} at write {at_write}, failed: {failed}");
            assert_eq!(table.pin().n_files(), 1, "{fault:?} at write {at_write}");
            let reopened = world.reopen().await;
            assert_eq!(world.query(&reopened, SUMS).await, ["3|3|3"], "{fault:?} at write {at_write}");
            reopened.vacuum(Duration::ZERO, false).await.unwrap();
            until(|| world.parquet_files() == World::live_files(&reopened)).await;
        }
    }
}

/// Another server, or the end of this one, comes between a merge in doubt and the question what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_in_doubt_is_not_deleted_while_the_log_may_have_it() {
    for closes in [false, true] {
        let world = World::new();
        // Writes: version 0, three times a file and an entry, the merged file, and then the entry that stays in doubt.
        let store = FaultyStore::new(&world, Fault::DeathAfter, 8);
        let schema = nullable(&world.schema_of("SELECT 1 AS id").await);
        let table = world.create_empty(&store.tables(&world), &[], &schema).await.unwrap();
        for id in 0..3 {
            world.insert(&table, &format!("SELECT {id}"), WriteMode::Append).await.unwrap();
        }
        assert_eq!(table.optimize(&world.pool()).await.unwrap_err().code, Code::Unavailable);
        store.heal();
        if closes {
            table.close().await;
        }
        let second = world.reopen().await;
        assert_eq!(world.insert(&table, "SELECT 3", WriteMode::Append).await.unwrap_err().code, Code::Conflict);
        drop(table.optimize(&world.pool()).await);
        assert_eq!(second.pin().n_files(), 1);
        assert_eq!(world.query(&second, SUMS).await, ["3|3|3"], "closed: {closes}");
    }
}

/// What turned out to be in the log may have left the table again before the merge is asked for: readers may hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_that_was_found_in_the_log_belongs_to_its_readers() {
    let world = World::new();
    let store = FaultyStore::new(&world, Fault::DeathAfter, 8);
    let schema = nullable(&world.schema_of("SELECT 1 AS id").await);
    let table = world.create_empty(&store.tables(&world), &[], &schema).await.unwrap();
    for id in 0..3 {
        world.insert(&table, &format!("SELECT {id}"), WriteMode::Append).await.unwrap();
    }
    assert_eq!(table.optimize(&world.pool()).await.unwrap_err().code, Code::Unavailable);
    store.heal();
    world.insert(&table, "SELECT 3", WriteMode::Append).await.unwrap();
    let pin = table.pin();
    assert_eq!(pin.n_files(), 2, "the merge was in the log");
    table.truncate().await.unwrap();
    table.optimize(&world.pool()).await.unwrap();
    assert_eq!(world.query_at(table.snapshot_of(&pin), SUMS).await, ["4|4|6"]);
}
