//! Delta tables that others write, read only: newest version, cached; what we cannot read is refused.

use super::*;
use std::path::PathBuf;

async fn newest(world: &World, tables: &DeltaTables) -> Result<DeltaVersion> {
    tables.newest("e1", "e", &world.path().display().to_string()).await
}

async fn rows(world: &World, tables: &DeltaTables, sql: &str) -> Vec<String> {
    world.query_at(newest(world, tables).await.unwrap().snapshot(), sql).await
}

fn entry(world: &World, version: u64) -> PathBuf {
    world.path().join(format!("_delta_log/{version:020}.json"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_sees_the_newest_version_and_a_pinned_one_stays() {
    let world = World::new();
    let writer = world.create(&["p"], "SELECT 1 AS id, 'x' AS p UNION ALL SELECT 2, NULL").await;
    let tables = DeltaTables::new(Arc::clone(&world.storage));
    let first = newest(&world, &tables).await.unwrap();
    assert_eq!((first.number(), first.partition_columns(), first.partitions().len()), (writer.version(), vec!["p".to_owned()], 2));
    world.insert(&writer, "SELECT 3, 'y'", WriteMode::Append).await.unwrap();
    assert_eq!(rows(&world, &tables, "SELECT id, p FROM t ORDER BY id").await, ["1|x", "2|", "3|y"]);
    assert_eq!(world.query_at(first.snapshot(), "SELECT count(*) FROM t").await, ["2"]);
    world.insert(&writer, "SELECT 4, 'y'", WriteMode::OverwriteTable).await.unwrap();
    assert_eq!(rows(&world, &tables, "SELECT id, p FROM t").await, ["4|y"]);
    // Many at once, over a checkpoint.
    for id in 5..120 {
        world.insert(&writer, &format!("SELECT {id}, 'y'"), WriteMode::Append).await.unwrap();
    }
    assert_eq!(rows(&world, &tables, "SELECT count(*), min(id), max(id) FROM t").await, ["116|4|119"]);
    assert_eq!(newest(&world, &tables).await.unwrap().number(), writer.version());

    // Made again at the same place: fewer versions, and none of them continues what is known.
    writer.close().await;
    std::fs::remove_dir_all(world.path()).unwrap();
    assert_eq!(newest(&world, &tables).await.unwrap_err().message, format!("there is no Delta table at \"{}\"", world.path().display()));
    world.create(&[], "SELECT 'other' AS name").await;
    assert_eq!(rows(&world, &tables, "SELECT * FROM t").await, ["other"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_made_again_with_the_same_versions_is_another_table() {
    let world = World::new();
    world.create(&[], "SELECT 'old' AS name").await;
    let tables = DeltaTables::new(Arc::clone(&world.storage));
    let old = newest(&world, &tables).await.unwrap().number();
    std::fs::remove_dir_all(world.path()).unwrap();
    let new = world.create(&[], "SELECT 'new' AS name").await;
    assert_eq!(new.version(), old);
    assert_eq!(rows(&world, &tables, "SELECT * FROM t").await, ["new"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_features_that_we_lack_are_named_and_writer_features_do_not_matter() {
    let world = World::new();
    world.create(&[], "SELECT 1 AS id").await;
    let plain = std::fs::read_to_string(entry(&world, 0)).unwrap();
    let protocol = r#""protocol":{"minReaderVersion":1,"minWriterVersion":2}"#;
    let features = |reader: &str, writer: &str| {
        format!(r#""protocol":{{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":[{reader}],"writerFeatures":[{writer}]}}"#)
    };
    let deletion = features(r#""deletionVectors""#, r#""deletionVectors""#);
    let widening = features(r#""typeWidening""#, r#""typeWidening""#);
    let written = features("", r#""changeDataFeed","checkConstraints","generatedColumns""#);
    let mapped = r#""protocol":{"minReaderVersion":2,"minWriterVersion":5}"#;
    for (protocol_now, configuration, expected) in [
        (deletion.as_str(), r#""configuration":{"#, Some("cannot read table \"e\": its log needs deletion vectors")),
        (widening.as_str(), r#""configuration":{"#, Some("typeWidening")),
        (mapped, r#""configuration":{"delta.columnMapping.mode":"none","#, None),
        (written.as_str(), r#""configuration":{"delta.constraints.c":"id > 0","#, None),
    ] {
        assert!(plain.contains(protocol), "{plain}");
        std::fs::write(entry(&world, 0), plain.replace(protocol, protocol_now).replace(r#""configuration":{"#, configuration)).unwrap();
        let found = newest(&world, &DeltaTables::new(Arc::clone(&world.storage))).await;
        match (found, expected) {
            (Ok(found), None) => assert_eq!(world.query_at(found.snapshot(), "SELECT id FROM t").await, ["1"]),
            (Err(error), Some(expected)) => assert!(error.message.contains(expected), "{error}"),
            (found, expected) => panic!("{protocol_now}: {found:?} instead of {expected:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_others_do_not_hide_rows() {
    let world = World::new();
    let writer = world.create(&[], "SELECT 1 AS id, CAST('NaN' AS DOUBLE) AS x UNION ALL SELECT 2, 1.0").await;
    // As other writers do: NaN is left out of the bounds of floats.
    let log = entry(&world, writer.version());
    let text = std::fs::read_to_string(&log).unwrap();
    let (plain, with_bounds) = (r#"\"minValues\":{"#, r#"\"minValues\":{\"x\":1.0,"#);
    assert!(text.contains(plain), "{text}");
    let text = text.replace(plain, with_bounds).replace(r#"\"maxValues\":{"#, r#"\"maxValues\":{\"x\":1.0,"#);
    std::fs::write(&log, text).unwrap();
    let tables = DeltaTables::new(Arc::clone(&world.storage));
    assert_eq!(rows(&world, &tables, "SELECT id FROM t WHERE x > 5").await, ["1"], "NaN is greater than every number");
    assert_eq!(rows(&world, &tables, "SELECT id FROM t WHERE id > 5").await, Vec::<String>::new());
    assert_eq!(rows(&world, &tables, "SELECT max(x), min(x) FROM t").await, ["NaN|1.0"]);
}
