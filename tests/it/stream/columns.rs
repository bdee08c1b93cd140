//! Columns that nobody declared, and columns out of what a record says besides its payload.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_found_in_the_newest_records_shown_and_frozen() {
    let kafka = Kafka::shared().await;
    let topic = unique("inferred");
    kafka.create_topic(&topic, 1, &[]).await;
    // The sample does not reach these.
    kafka.produce(&topic, Some(0), [r#"{"old":1}"#; 5]).await;
    let newest = [
        r#"{"id":1,"price":2,"seen":"2026-01-02T03:04:05","name":"a","tags":["x","y"],"place":{"city":"Ulm"},"ok":true}"#,
        r#"{"id":2,"price":2.5,"name":null}"#,
        r#"{"id":3}"#,
    ];
    kafka.produce(&topic, Some(0), newest).await;
    let server = Server::start();
    let mut client = server.client().await;
    let create = format!(
        "CREATE STREAMING TABLE found INFER FROM TOPIC (SAMPLE 3) \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'commit.interval' = '200 ms')",
        kafka.bootstrap()
    );
    let answer = client.rows(&create).await.unwrap();
    let columns = "  `id` BIGINT,\n  `price` DOUBLE,\n  `seen` TIMESTAMP,\n  `name` STRING,\n  `tags` ARRAY<STRING>,\n  \
                   `place` STRUCT<city: STRING>,\n  `ok` BOOLEAN\n";
    assert!(answer.len() == 1 && answer[0].contains(&format!(" (\n{columns})\n")), "{answer:?}");
    assert_eq!(client.rows("SHOW CREATE TABLE found").await.unwrap(), answer);

    // What it printed makes the same table again, without a look at the topic.
    for again in [false, true] {
        if again {
            client.rows("DROP STREAMING TABLE found").await.unwrap();
            client.rows(&answer[0]).await.unwrap();
            assert_eq!(client.rows("SHOW CREATE TABLE found").await.unwrap(), answer);
        }
        until(&mut client, "SELECT count(*), count(id) FROM found", "8\t3").await;
        let rows = client.rows("SELECT * FROM found WHERE id IS NOT NULL ORDER BY id").await.unwrap();
        let expected = [
            "1\t2.0\t2026-01-02T03:04:05\ta\t[x, y]\t{city: Ulm}\ttrue",
            "2\t2.5\tNULL\tNULL\tNULL\tNULL\tNULL",
            "3\tNULL\tNULL\tNULL\tNULL\tNULL\tNULL",
        ];
        assert_eq!(rows, expected, "again: {again}");
    }

    // Other records do not change it: a new field is passed over, a value of another type is a dead letter.
    kafka.produce(&topic, Some(0), [r#"{"id":4,"colour":"red"}"#, r#"{"id":"five"}"#]).await;
    until(&mut client, "SELECT count(*) FROM dead_letters('found')", "1").await;
    until(&mut client, "SELECT count(*), max(id) FROM found", "9\t4").await;
    assert_eq!(client.rows("SHOW CREATE TABLE found").await.unwrap(), answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_a_map_in_which_a_value_may_be_missing() {
    let kafka = Kafka::shared().await;
    let topic = unique("headers");
    kafka.create_topic(&topic, 1, &[]).await;
    let server = Server::start();
    let mut client = server.client().await;
    // Nothing is committed before the table is paused.
    let create = format!(
        "CREATE STREAMING TABLE headed (id BIGINT, as_bytes MAP<STRING, BINARY> METADATA FROM 'headers', \
         as_texts MAP<STRING, STRING> METADATA FROM 'headers', as_json STRING METADATA FROM 'headers') \
         WITH ('connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{}', 'commit.interval' = '1 h')",
        kafka.bootstrap()
    );
    client.rows(&create).await.unwrap();
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let cases = [
        (vec![], "{}\t{}\t{}"),
        (vec![header("a", Some(b"x"))], "{a: 78}\t{a: x}\t{\"a\":\"x\"}"),
        // Missing, empty, no text.
        (vec![header("a", None)], "{a: NULL}\t{a: NULL}\t{\"a\":null}"),
        (vec![header("a", Some(b""))], "{a: }\t{a: }\t{\"a\":\"\"}"),
        (vec![header("a", Some(b"\xff"))], "{a: ff}\t{a: NULL}\t{\"a\":\"\u{fffd}\"}"),
        // Of equal names the last counts.
        (
            vec![header("a", Some(b"x")), header("b", None), header("a", Some(b"y"))],
            "{a: 79, b: NULL}\t{a: y, b: NULL}\t{\"a\":\"y\",\"b\":null}",
        ),
    ];
    let records =
        cases.iter().enumerate().map(|(id, (headers, _))| Record { headers: headers.clone(), ..Record::from(format!("{{\"id\":{id}}}")) });
    kafka.produce(&topic, Some(0), records).await;
    let expected: Vec<String> = cases.iter().map(|(_, row)| (*row).to_owned()).collect();
    let sql = "SELECT as_bytes, as_texts, as_json FROM headed ORDER BY id";
    until(&mut client, "SELECT count(*) FROM headed", &expected.len().to_string()).await;
    assert_eq!(client.rows(sql).await.unwrap(), expected, "in memory");
    client.rows("ALTER STREAMING TABLE headed PAUSE").await.unwrap();
    until(&mut client, "SELECT state FROM system.streams", "paused").await;
    assert_eq!(client.rows_with(&["SET stream_read = 'committed'"], sql).await.unwrap(), expected, "in files");
}
