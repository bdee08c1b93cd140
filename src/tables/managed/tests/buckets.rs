//! Tables in a bucket (in memory): the same life as on disk, two servers on one table, removal.

use super::*;
use crate::config::BucketConfig;
use crate::storage::{Access, Place};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

/// A world whose tables lie in the bucket `lake`, below `a`.
fn world() -> World {
    let directory = tempfile::tempdir().unwrap();
    let bucket = BucketConfig {
        bucket: "lake".into(),
        prefix: "a".into(),
        endpoint: None,
        region: "us-east-1".into(),
        keys: None,
        path_style: true,
        allow_http: false,
        writable: true,
    };
    let storage = Storage::open_in_memory(directory.path(), &[bucket]).unwrap();
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(storage.registry());
    let config = SessionConfig::new().with_target_partitions(2).with_information_schema(false);
    let session = SessionContext::new_with_config_rt(config, runtime.build_arc().unwrap());
    World { directory, storage, session }
}

fn place(world: &World, text: &str) -> Place {
    world.storage.place(text, Access::Write).unwrap()
}

async fn create(world: &World, tables: &ManagedTables, text: &str, partitions: &[&str], sql: &str) -> Arc<ManagedTable> {
    let schema = Arc::new(nullable(&world.schema_of(sql).await));
    let partition_columns = partitions.iter().map(|&column| column.to_owned()).collect();
    let new = NewTable { partition_columns, ..NewTable::of(schema) };
    let table = tables.create("t1", "t", &place(world, text), new).await.unwrap();
    world.insert(&table, sql, WriteMode::Append).await.unwrap();
    table
}

/// All keys of the bucket, below the place of a table.
async fn keys(place: &Place) -> Vec<String> {
    let Place::Bucket(place) = place else { panic!("not in a bucket") };
    let found: Vec<_> = place.store.list(Some(&place.path)).try_collect().await.unwrap();
    found.into_iter().map(|object| object.location.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_a_bucket_is_written_and_read_as_on_disk() {
    let world = world();
    let (first, text) = (world.tables(), "s3://lake/a/dir with space/t");
    let table = create(&world, &first, text, &["p"], "SELECT 1 AS id, 'x y' AS p UNION ALL SELECT 2, NULL").await;
    world.insert(&table, "SELECT 3, 'é/='", WriteMode::Append).await.unwrap();
    assert_eq!(world.query(&table, "SELECT id, p FROM t ORDER BY id").await, ["1|x y", "2|", "3|é/="]);
    assert_eq!(world.query(&table, "SELECT id FROM t WHERE p = 'x y'").await, ["1"]);
    let old = table.snapshot();
    world.insert(&table, "SELECT 9, 'z'", WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(world.query_at(old, "SELECT count(*) FROM t").await, ["3"], "a pinned version stays");

    // What a writer that died left behind goes when the table is opened again; foreign files and removed ones stay.
    let Place::Bucket(bucket) = place(&world, text) else { panic!("not in a bucket") };
    let (orphan, foreign) = (bucket.path.clone().join(sweep::file_path(1, "", false)), bucket.path.clone().join("notes.txt"));
    bucket.store.put(&orphan, "x".into()).await.unwrap();
    bucket.store.put(&foreign, "x".into()).await.unwrap();
    let second = world.tables();
    let reopened = second.open("t1", "t", &place(&world, text)).await.unwrap();
    assert_eq!(reopened.generation(), 2);
    assert_eq!(world.query(&reopened, "SELECT id, p FROM t").await, ["9|z"]);
    let found = keys(&place(&world, text)).await;
    assert!(!found.contains(&orphan.to_string()) && found.contains(&foreign.to_string()), "{found:?}");

    // The first server is fenced: it learns so by its next commit, and nothing of it stays.
    let error = world.insert(&table, "SELECT 4, 'late'", WriteMode::Append).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict, "{error}");
    world.insert(&reopened, "SELECT 5, 'z'", WriteMode::Append).await.unwrap();
    assert_eq!(world.query(&reopened, "SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_in_a_bucket_is_the_table() {
    let world = world();
    let table = create(&world, &world.tables(), "s3://lake/a/t", &[], "SELECT 0 AS id").await;
    for id in 1..102 {
        world.insert(&table, &format!("SELECT {id}"), WriteMode::Append).await.unwrap();
    }
    table.close().await;
    let Place::Bucket(bucket) = place(&world, "s3://lake/a/t") else { panic!("not in a bucket") };
    let log = bucket.path.clone().join("_delta_log");
    bucket.store.head(&log.clone().join("_last_checkpoint")).await.unwrap();
    for version in 0..100 {
        bucket.store.delete(&log.clone().join(format!("{version:020}.json"))).await.unwrap();
    }
    let reopened = world.tables().open("t1", "t", &place(&world, "s3://lake/a/t")).await.unwrap();
    assert_eq!(world.query(&reopened, "SELECT count(*), sum(id) FROM t").await, ["102|5151"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_table_leaves_its_neighbours() {
    let world = world();
    let tables = world.tables();
    create(&world, &tables, "s3://lake/a/t", &["p"], "SELECT 1 AS id, 'x' AS p").await;
    let neighbour = place(&world, "s3://lake/a/tt");
    let Place::Bucket(bucket) = &neighbour else { panic!("not in a bucket") };
    bucket.store.put(&bucket.path.clone().join("file"), "x".into()).await.unwrap();
    let new = NewTable::of(Arc::new(world.schema_of("SELECT 1 AS id").await));
    let again = tables.create("t2", "u", &place(&world, "s3://lake/a/t"), new).await;
    assert_eq!(again.unwrap_err().code, Code::DuplicateTable);
    tables.close("t1", Some(&place(&world, "s3://lake/a/t"))).await.unwrap();
    assert_eq!(keys(&place(&world, "s3://lake/a/t")).await, Vec::<String>::new());
    assert_eq!(keys(&neighbour).await, ["a/tt/file"]);
}
