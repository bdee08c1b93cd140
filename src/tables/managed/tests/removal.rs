//! TRUNCATE, retention, and when the files go.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncate_removes_all_rows_and_no_pinned_one() {
    let world = World::new();
    let table = world.create(&["p"], "SELECT 1 AS id, 'a' AS p UNION ALL SELECT 2, 'b'").await;
    let pin = table.pin();
    table.truncate().await.unwrap();
    let version = table.version();
    table.truncate().await.unwrap();
    assert_eq!(table.version(), version, "an empty table stays as it is");
    for table in [&table, &world.reopen().await] {
        assert_eq!(world.query(table, "SELECT id FROM t").await, Vec::<String>::new());
    }
    assert_eq!(world.query_at(table.snapshot_of(&pin), "SELECT id FROM t ORDER BY id").await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_removes_whole_files() {
    let world = World::new();
    let schema = Arc::new(epochs::stream_schema());
    let table = world.create_stream(&world.tables(), NewTable::streaming(schema)).await.unwrap();
    for _ in 0..6 {
        world.commit_rows(&table, 10).await.unwrap();
    }
    let ids = "SELECT min(id), max(id), count(*) FROM t";
    let error = table.drop_before("nothing", &ScalarValue::from(1)).await.unwrap_err();
    assert_eq!(error.code, Code::UndefinedColumn);
    assert_eq!(table.drop_before("id", &ScalarValue::from(5)).await.unwrap(), 0);
    assert_eq!(table.drop_before("id", &ScalarValue::from(19)).await.unwrap(), 1, "19 is the last of its file");
    assert_eq!(world.query(&table, ids).await, ["10|59|50"]);
    // Merged files are as old as their rows.
    world.commit_rows(&table, 10_000).await.unwrap();
    let n_bytes = table.pin().n_bytes();
    assert_eq!(table.drop_oldest(n_bytes).await.unwrap(), 0);
    assert_eq!(table.drop_oldest(n_bytes - 1).await.unwrap(), 1);
    assert_eq!(world.query(&table, ids).await, ["20|10059|10040"]);
    table.drop_oldest(0).await.unwrap();
    assert_eq!(world.query(world.reopen().await.as_ref(), ids).await, ["||0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_files_go_when_nobody_holds_them() {
    let world = World::new();
    let table = world.create(&[], "SELECT 1 AS id").await;
    let pin = table.pin();
    let old = world.parquet_files();
    world.insert(&table, "SELECT 2", WriteMode::OverwriteTable).await.unwrap();
    let both = world.parquet_files();
    assert_eq!(table.vacuum(GRACE, false).await.unwrap().files, Vec::<String>::new(), "too young");
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap().files, Vec::<String>::new(), "held");
    // A plan holds its files too.
    let scan = world.session.read_table(table.snapshot_of(&pin)).unwrap().create_physical_plan().await.unwrap();
    drop(pin);
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap().files.len(), 0);
    drop(scan);
    let report = table.vacuum(Duration::ZERO, true).await.unwrap();
    assert_eq!(report.files, old.iter().cloned().collect::<Vec<_>>());
    assert!(report.n_bytes > 100);
    assert_eq!(world.parquet_files(), both, "a dry run deletes nothing");
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap(), report);
    assert_eq!(world.parquet_files(), World::live_files(&table));

    // After a restart, from the log.
    world.insert(&table, "SELECT 3", WriteMode::OverwriteTable).await.unwrap();
    let reopened = world.reopen().await;
    assert_eq!(world.parquet_files().len(), 2, "removed less than a day ago");
    let late = sweep::file_path(1, "", false);
    std::fs::write(world.path().join(&late), "x").unwrap();
    let report = reopened.vacuum(Duration::ZERO, false).await.unwrap();
    assert!(report.files.len() == 2 && report.files.contains(&late), "{report:?}");
    assert_eq!(world.parquet_files(), World::live_files(&reopened));
    assert_eq!(world.query(&reopened, "SELECT id FROM t").await, ["3"]);
    let error = table.vacuum(Duration::ZERO, false).await;
    assert!(error.is_ok() || error.unwrap_err().code == Code::Conflict, "the old server may not know yet, and has nothing to delete");
}

/// Another program may go back to an older version: what it adds again is no garbage any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_another_program_restores_stay() {
    let world = World::new();
    let table = world.create(&[], "SELECT 1 AS id").await;
    world.insert(&table, "SELECT 2", WriteMode::OverwriteTable).await.unwrap();
    let entry = std::fs::read_to_string(world.path().join("_delta_log").join(format!("{:020}.json", 1))).unwrap();
    let add = entry.lines().find(|line| line.starts_with("{\"add\"")).unwrap().to_owned();
    faults::commit_foreign(&world, &table, &[add]).await;
    assert_eq!(table.vacuum(Duration::ZERO, false).await.unwrap().files, Vec::<String>::new());
    assert_eq!(world.query(&table, "SELECT id FROM t ORDER BY id").await, ["1", "2"], "it is in the newest version");
}
