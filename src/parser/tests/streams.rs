//! Streaming tables, and the statements that change rows and files.

use super::*;

#[track_caller]
fn stream_of(sql: &str) -> CreateStream {
    match one(sql) {
        Statement::CreateStream(create) => create,
        other => panic!("{sql}\n{other:?}"),
    }
}

#[test]
fn the_streaming_ddl_of_the_design_parses_word_for_word() {
    let create = stream_of(
        "CREATE STREAMING TABLE ratings_raw (
  user_id BIGINT, movie_id BIGINT, rating DOUBLE, event_time TIMESTAMP,
  k_offset BIGINT METADATA FROM 'offset',                       -- also partition, key, timestamp, topic, headers
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
) PARTITIONED BY (movie_id) STORED AS PARQUET LOCATION 'x' COMMENT 'c' TBLPROPERTIES ('p' = '1')
WITH ('connector'='kafka', 'topic'='ratings',
  'properties.bootstrap.servers'='broker:9093', 'properties.security.protocol'='SASL_SSL',
  'properties.sasl.password' = SECRET kafka_pwd,
  'scan.startup.mode'='earliest-offset',                        -- latest-offset | timestamp | specific-offsets
  'format'='json');                                             -- avro-confluent | csv | raw",
    );
    assert_eq!(create.table.name, name("ratings_raw"));
    let columns: Vec<_> = create.table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["user_id", "movie_id", "rating", "event_time", "k_offset"]);
    assert_eq!(create.metadata_columns, [("k_offset".to_owned(), "offset".to_owned())]);
    assert_eq!(create.watermark, Some(Watermark { column: "event_time".into(), delay_ms: 10_000 }));
    assert_eq!((create.table.stored_as.as_deref(), create.table.location.as_deref()), (Some("PARQUET"), Some("x")));
    assert_eq!((create.table.comment.as_deref(), create.table.partitioned_by.len()), (Some("c"), 1));
    assert_eq!(create.table.properties, [text_option("p", "1")]);
    assert_eq!(create.table.options.len(), 7);
    assert_eq!(create.table.options[4].value, OptionValue::Secret("kafka_pwd".into()));
    assert_eq!(create.infer_records, None);
}

#[test]
fn watermarks_are_a_column_minus_a_fixed_time() {
    for (written, delay_ms) in [
        ("ts", 0),
        ("TS - INTERVAL '5' MINUTE", 300_000),
        ("ts - INTERVAL '1.5' SECOND", 1_500),
        ("ts - INTERVAL '250 milliseconds'", 250),
        ("ts - INTERVAL '2 days'", 172_800_000),
        ("ts - INTERVAL 10 SECOND", 10_000),
    ] {
        let create = stream_of(&format!("CREATE STREAMING TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS {written})"));
        assert_eq!(create.watermark.unwrap().delay_ms, delay_ms, "{written}");
    }
    for written in [
        "other",
        "ts + INTERVAL '5' MINUTE",
        "ts - INTERVAL '1' MONTH",
        "ts - INTERVAL '-1' SECOND",
        "ts - 5",
        "now()",
        "ts - INTERVAL '5'",
    ] {
        check_error(
            &format!("CREATE STREAMING TABLE t (ts TIMESTAMP, WATERMARK FOR ts AS {written})"),
            Code::Syntax,
            "A watermark is the column itself, or the column minus an interval",
        );
    }
    // A column may have that name.
    assert_eq!(table_of("CREATE TABLE t (watermark INT, metadata INT)").columns.len(), 2);
}

#[test]
fn metadata_formats_and_samples_have_other_spellings() {
    let create = stream_of(
        "CREATE OR REPLACE STREAMING TABLE db.t (a INT, `offset` BIGINT METADATA, p INT METADATA FROM 'Partition' VIRTUAL COMMENT 'x')
         INCLUDE timestamp AS ts INCLUDE header INCLUDE key AS k FORMAT PLAIN ENCODE CSV WITH (connector = 'kafka')",
    );
    let metadata: Vec<_> = create.metadata_columns.iter().map(|(column, kind)| format!("{column}={kind}")).collect();
    assert_eq!(metadata, ["offset=offset", "p=partition", "ts=timestamp", "headers=headers", "k=key"]);
    let types: Vec<_> = create.table.columns.iter().map(|column| column.type_text.as_str()).collect();
    assert_eq!(types, ["INT", "BIGINT", "INT", "TIMESTAMP", "MAP<STRING, BINARY>", "BINARY"]);
    assert!(create.table.or_replace && create.table.columns[2].comment.as_deref() == Some("x"));
    assert_eq!(create.table.options[1], text_option("format", "csv"));
    for (clause, records) in [("INFER FROM TOPIC", 1_000), ("INFER FROM TOPIC (SAMPLE 50)", 50), ("infer from topic (sample 7)", 7)] {
        let create = stream_of(&format!("CREATE STREAMING TABLE IF NOT EXISTS t {clause} WITH (topic = 'x')"));
        assert_eq!((create.infer_records, create.table.if_not_exists), (Some(records), true), "{clause}");
    }
}

#[test]
fn streams_are_steered() {
    let alter = |sql: &str| match one(&format!("ALTER STREAMING TABLE db.t {sql}")) {
        Statement::AlterStream { name: table, action } if table == name("db.t") => action,
        other => panic!("{other:?}"),
    };
    for (sql, expected) in [
        ("PAUSE", AlterStream::Pause),
        ("resume", AlterStream::Resume),
        ("SEEK TO EARLIEST", AlterStream::Seek(SeekTarget::Earliest)),
        ("SEEK TO LATEST", AlterStream::Seek(SeekTarget::Latest)),
        ("SEEK TO TIMESTAMP '2026-01-01 00:00:00'", AlterStream::Seek(SeekTarget::Timestamp("2026-01-01 00:00:00".into()))),
        ("SEEK TO OFFSETS ('0:42, 1:300')", AlterStream::Seek(SeekTarget::Offsets(vec![(0, 42), (1, 300)]))),
        ("RENAME TO u", AlterStream::Rename(name("u"))),
    ] {
        assert_eq!(alter(sql), expected, "{sql}");
    }
    for (sql, expected) in [
        ("DROP STREAMING TABLE IF EXISTS t", Statement::DropStream { name: name("t"), if_exists: true }),
        ("SHOW STREAMS", Statement::Show(Show::Streams { like: None })),
        ("SHOW STREAMS LIKE 'r%'", Statement::Show(Show::Streams { like: Some("r%".into()) })),
        ("SHOW STREAMING TABLES", Statement::Show(Show::Streams { like: None })),
        ("SHOW CREATE STREAMING TABLE t", Statement::Show(Show::CreateTable { name: name("t") })),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}

#[test]
fn maintenance() {
    let vacuum = |retain_hours, dry_run| Statement::Vacuum(Vacuum { name: name("db.t"), retain_hours, dry_run });
    for (sql, expected) in [
        ("OPTIMIZE db.t", Statement::Optimize { name: name("db.t") }),
        ("OPTIMIZE TABLE db.t", Statement::Optimize { name: name("db.t") }),
        ("OPTIMIZE table", Statement::Optimize { name: name("table") }),
        ("VACUUM db.t", vacuum(None, false)),
        ("VACUUM TABLE db.t RETAIN 168 HOURS DRY RUN", vacuum(Some(168.0), true)),
        ("VACUUM db.t DRY RUN RETAIN 2 DAYS", vacuum(Some(48.0), true)),
        ("VACUUM db.t RETAIN 0.5 HOURS", vacuum(Some(0.5), false)),
        ("TRUNCATE TABLE t", Statement::Truncate { name: name("t") }),
        ("TRUNCATE t", Statement::Truncate { name: name("t") }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}

#[test]
fn changes_of_rows_are_queries() {
    for (sql, table, query, n_parameters) in [
        ("DELETE FROM t", "t", "SELECT * FROM t", 0),
        ("DELETE FROM ONLY db.t AS x WHERE x.a = ? OR b", "db.t", "SELECT * FROM db.t AS x WHERE (x.a = $1 OR b)", 1),
        (
            "DELETE FROM t x WHERE a IN (SELECT a FROM u WHERE u.b = x.b)",
            "t",
            "SELECT * FROM t x WHERE (a IN (SELECT a FROM u WHERE u.b = x.b))",
            0,
        ),
    ] {
        let Statement::Delete(delete) = one(sql) else { panic!("{sql}") };
        assert_eq!((delete.table, delete.source.query.to_string().as_str()), (name(table), query), "{sql}");
        assert_eq!(delete.source.n_parameters, n_parameters, "{sql}");
    }
    for (sql, columns, query) in [
        ("UPDATE t SET a = 1", vec!["a"], "SELECT (1) FROM t"),
        (
            "UPDATE db.t AS x SET a = x.a + ?, x.b = f(a, b), `C d` = (SELECT max(v) FROM u) WHERE a IS DISTINCT FROM b",
            vec!["a", "b", "C d"],
            "SELECT (x.a + $1), (f(a, b)), ((SELECT max(v) FROM u)) FROM db.t AS x WHERE (a IS DISTINCT FROM b)",
        ),
        (
            "UPDATE t SET a = b IS DISTINCT FROM c, b = CASE WHEN a THEN 1 END",
            vec!["a", "b"],
            "SELECT (b IS DISTINCT FROM c), (CASE WHEN a THEN 1 END) FROM t",
        ),
    ] {
        let Statement::Update(update) = one(sql) else { panic!("{sql}") };
        assert_eq!(
            (update.columns, update.source.query.to_string().as_str()),
            (columns.into_iter().map(String::from).collect(), query),
            "{sql}"
        );
    }
    assert!(
        matches!(one("EXPLAIN DELETE FROM t WHERE a = 1"), Statement::Explain(explain) if matches!(*explain.statement, Statement::Delete(_)))
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (sql, code, expected) in [
        ("CREATE STREAMING TABLE t (a INT) INFER FROM TOPIC", Code::Syntax, "has both columns and INFER FROM TOPIC"),
        ("CREATE STREAMING TABLE t INFER FROM TOPIC (SAMPLE 0)", Code::Syntax, "a number of records above zero"),
        ("CREATE STREAMING TABLE t INFER FROM TOPIC (SIMPLE 5)", Code::Syntax, "expected SAMPLE"),
        ("CREATE STREAMING TABLE t (a INT) FORMAT PLAIN ENCODE XML", Code::Syntax, "expected JSON, CSV, BYTES or AVRO"),
        (
            "CREATE STREAMING TABLE t (a INT) FORMAT PLAIN ENCODE JSON WITH (format = 'json')",
            Code::InvalidParameter,
            "the format is given twice",
        ),
        ("CREATE STREAMING TABLE t (a INT) FORMAT UPSERT ENCODE JSON", Code::NotSupported, "FORMAT UPSERT is not supported yet"),
        ("CREATE STREAMING TABLE t (a INT) INCLUDE payload", Code::Syntax, "expected topic, partition, offset"),
        ("CREATE STREAMING TABLE t (a INT) ROW FORMAT DELIMITED", Code::NotSupported, "ROW FORMAT of a streaming table"),
        ("CREATE STREAMING TABLE t (a INT) STORD AS PARQUET", Code::Syntax, "Did you mean STORED AS?"),
        ("CREATE STREAMING TABLE t (a INT, WATERMARK FOR a AS a, WATERMARK FOR a AS a)", Code::Syntax, "clause WATERMARK is given twice"),
        ("CREATE STREAMING TABLE t (a BIGINT METADATA METADATA)", Code::Syntax, "clause METADATA is given twice"),
        ("CREATE STREAMING TABLE t (a BIGINT METADATA FROM offset)", Code::Syntax, "the name of a metadata field in quotes"),
        (
            "CREATE STREAMING TABLE t AS SELECT * FROM STREAM s",
            Code::NotSupported,
            "CREATE STREAMING TABLE .. AS SELECT is not supported yet",
        ),
        ("CREATE TEMPORARY STREAMING TABLE t (a INT)", Code::NotSupported, "CREATE TEMPORARY STREAMING is not supported yet"),
        ("CREATE TABLE t (a TIMESTAMP, WATERMARK FOR a AS a)", Code::NotSupported, "Use CREATE STREAMING TABLE"),
        ("CREATE TABLE t (a BIGINT METADATA FROM 'offset')", Code::NotSupported, "Use CREATE STREAMING TABLE"),
        ("ALTER TABLE t ADD COLUMN a BIGINT METADATA", Code::NotSupported, "METADATA of an added column"),
        ("ALTER STREAMING TABLE t PAUS", Code::Syntax, "Did you mean PAUSE?"),
        ("ALTER STREAMING TABLE t SEEK EARLIEST", Code::Syntax, "expected TO"),
        ("ALTER STREAMING TABLE t SEEK TO ERLIEST", Code::Syntax, "Did you mean EARLIEST?"),
        ("ALTER STREAMING TABLE t SEEK TO OFFSETS ('0-42')", Code::Syntax, "Write SEEK TO OFFSETS ('0:42,1:300')"),
        ("ALTER STREAMING TABLE t SEEK TO OFFSETS ('0:1,0:2')", Code::Syntax, "Write SEEK TO OFFSETS"),
        ("ALTER STREAMING TABLE t SEEK TO OFFSETS ('0:-1')", Code::Syntax, "Write SEEK TO OFFSETS"),
        ("ALTER STREAMING TABLE t SET ('a' = 'b')", Code::NotSupported, "ALTER STREAMING TABLE .. SET is not supported yet"),
        ("VACUUM t RETAIN 5", Code::Syntax, "expected HOURS"),
        ("VACUUM t RETAIN many HOURS", Code::Syntax, "expected a number of hours"),
        ("VACUUM t RETAIN 1000000 HOURS", Code::InvalidParameter, "RETAIN can be 876000 hours at most"),
        ("VACUUM", Code::Syntax, "expected a table name"),
        ("OPTIMIZE t ZORDER BY (a)", Code::NotSupported, "OPTIMIZE .. ZORDER is not supported yet"),
        ("TRUNCATE TABLE t PARTITION (a = 1)", Code::NotSupported, "Use DELETE FROM .. WHERE"),
        ("TRUNCATE a, b", Code::NotSupported, "dropping several objects"),
        ("DELETE t WHERE a", Code::Syntax, "expected FROM"),
        ("DELETE FROM t USING u WHERE t.a = u.a", Code::NotSupported, "DELETE .. USING is not supported yet"),
        ("DELETE FROM t WHERE", Code::Syntax, "expected a condition"),
        ("DELETE FROM t WHERE a) OR (b", Code::Syntax, "unexpected \")\""),
        ("DELETE FROM t WHERE a LIMIT 5", Code::NotSupported, "DELETE .. LIMIT is not supported yet"),
        ("DELETE FROM t WHERE a RETURNING b", Code::NotSupported, "DELETE .. RETURNING is not supported yet"),
        ("UPDATE t WHERE a", Code::Syntax, "expected SET"),
        ("UPDATE t SET a", Code::Syntax, "expected \"=\""),
        ("UPDATE t SET a =", Code::Syntax, "expected a value"),
        ("UPDATE t SET a = 1, A = 2", Code::DuplicateColumn, "column \"A\" is set twice"),
        ("UPDATE t SET u.a = 1", Code::InvalidStatement, "not the table that changes"),
        ("UPDATE t SET a = DEFAULT", Code::NotSupported, "SET .. = DEFAULT is not supported yet"),
        ("UPDATE t SET (a, b) = (1, 2)", Code::NotSupported, "Write SET a = 1, b = 2"),
        ("UPDATE t SET a = 1) + (2", Code::Syntax, "unexpected \")\""),
        ("UPDATE t SET a = u.a FROM u WHERE u.b = t.b", Code::NotSupported, "UPDATE .. FROM is not supported yet"),
    ] {
        check_error(sql, code, expected);
    }
}

#[test]
fn no_error_repeats_a_secret_of_a_source() {
    for sql in [
        "CREATE STREAMING TABLE t (a INT) WITH ('properties.sasl.password' = 'a' 'hunter2')",
        "CREATE STREAMING TABLE t (a INT) WITH ('properties.sasl.password' = 'hunter2'",
        "CREATE STREAMING TABLE t WTH ('properties.sasl.password' = 'hunter2')",
    ] {
        let error = refused(sql);
        assert!(!format!("{error:?}").contains("hunter2"), "{sql}\n{error:?}");
    }
}
