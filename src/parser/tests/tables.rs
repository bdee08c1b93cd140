//! CREATE TABLE, ALTER TABLE, types and names.

use super::*;
use sqlparser::ast::DataType;

#[test]
fn the_hive_ddl_of_the_design_parses_word_for_word() {
    let table = table_of(
        "CREATE EXTERNAL TABLE IF NOT EXISTS clean_ratings (
  user_id INT, movie_id INT, rating DOUBLE, `timestamp` BIGINT, title STRING)
COMMENT 'enriched' PARTITIONED BY (dt STRING)
STORED AS PARQUET                       -- PARQUET | AVRO | CSV | TEXTFILE | JSON | ARROW | DELTA
LOCATION '/data/clean_ratings'          -- file, s3, gs, abfs, hdfs
TBLPROPERTIES ('parquet.compression'='ZSTD');",
    );
    let columns: Vec<_> = table.columns.iter().map(|column| (column.name.as_str(), column.type_text.as_str())).collect();
    assert_eq!(columns, [("user_id", "INT"), ("movie_id", "INT"), ("rating", "DOUBLE"), ("timestamp", "BIGINT"), ("title", "STRING")]);
    assert!(table.external && table.if_not_exists && !table.or_replace && table.columns.iter().all(|column| column.nullable));
    assert_eq!(table.comment.as_deref(), Some("enriched"));
    assert_eq!((table.partitioned_by[0].name.as_str(), table.partitioned_by[0].type_text.as_deref()), ("dt", Some("STRING")));
    assert_eq!((table.stored_as.as_deref(), table.location.as_deref()), (Some("PARQUET"), Some("/data/clean_ratings")));
    assert_eq!(table.properties, [text_option("parquet.compression", "ZSTD")]);
}

#[test]
fn clauses_come_in_any_order() {
    let clauses =
        ["COMMENT 'c'", "PARTITIONED BY (dt DATE)", "STORED AS CSV", "LOCATION 'l'", "TBLPROPERTIES ('p'='1')", "OPTIONS ('o' '2')"];
    let expected = table_of(&format!("CREATE TABLE t (a INT) {}", clauses.join(" ")));
    for rotation in 1..clauses.len() {
        let mut rotated = clauses;
        rotated.rotate_left(rotation);
        assert_eq!(table_of(&format!("CREATE TABLE t (a INT) {}", rotated.join("\n"))), expected);
    }
    assert_eq!(table_of(&format!("create table t (a INT) {} as select 1", clauses.join(" "))).query.unwrap().text, "select 1");
}

#[test]
fn columns_may_have_any_name() {
    let table = table_of(
        "CREATE TABLE t (key INT, timestamp TIMESTAMP NOT NULL, date DATE COMMENT 'day', `order` INT NULL, \"Mixed Case\" INT,
         primary INT, constraint INT, table STRING COMMENT 'it''s' NOT NULL, unique INT, map MAP<STRING,INT>)",
    );
    let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["key", "timestamp", "date", "order", "Mixed Case", "primary", "constraint", "table", "unique", "map"]);
    assert!(!table.columns[1].nullable && table.columns[3].nullable && !table.columns[7].nullable);
    assert_eq!((table.columns[2].comment.as_deref(), table.columns[7].comment.as_deref()), (Some("day"), Some("it's")));
}

#[test]
fn keys_are_kept() {
    for sql in [
        "CREATE TABLE t (a INT PRIMARY KEY, b INT)",
        "CREATE TABLE t (a INT, b INT, PRIMARY KEY (a) NOT ENFORCED)",
        "CREATE TABLE t (a INT, b INT, CONSTRAINT pk PRIMARY KEY (a) DISABLE NOVALIDATE)",
    ] {
        let table = table_of(sql);
        assert_eq!((table.primary_key, table.columns.len()), (vec!["a".to_owned()], 2), "{sql}");
    }
}

#[test]
fn types_keep_their_text() {
    for (written, expected) in [
        ("INT", "INT"),
        ("decimal(10, 2)", "DECIMAL(10,2)"),
        ("DOUBLE PRECISION", "DOUBLE PRECISION"),
        ("VARCHAR(20)", "VARCHAR(20)"),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"),
        ("ARRAY<INT>", "ARRAY<INT>"),
        ("MAP<STRING,INT>", "Map(STRING, INT)"),
        ("MAP<STRING,ARRAY<INT>>", "Map(STRING, ARRAY<INT>)"),
        ("STRUCT<a: INT, b: ARRAY<STRUCT<c: STRING>>>", "STRUCT<a INT, b ARRAY<STRUCT<c STRING>>>"),
        ("INT[]", "INT[]"),
        ("NUMBER", "DOUBLE"),
        ("LONG", "BIGINT"),
        ("UUID", "UUID"),
        ("BINARY", "BINARY"),
    ] {
        let column = table_of(&format!("CREATE TABLE t (a {written} COMMENT 'x', b INT)")).columns.remove(0);
        assert_eq!((column.data_type.to_string().as_str(), column.type_text.as_str()), (expected, written), "{written}");
        assert_eq!(parse_type(written).unwrap(), column.data_type);
    }
    assert_eq!(table_of("CREATE TABLE t (a DECIMAL(10,\n  2))").columns[0].type_text, "DECIMAL(10, 2)");
    assert!(matches!(parse_type("STRING").unwrap(), DataType::String(None)));
    for (written, expected) in
        [("", "unexpected end"), ("INT INT", "the end of the type"), ("ARRAY<INT", "line 1"), ("'x'", "line 1"), ("1", "line 1")]
    {
        let error = parse_type(written).unwrap_err();
        assert!(error.code == Code::Syntax && error.message.contains(expected), "{written}: {error}");
    }
}

#[test]
fn formats_have_many_spellings() {
    for (clause, expected) in [
        ("STORED AS parquet", "PARQUET"),
        ("USING csv", "CSV"),
        ("USING org.apache.spark.sql.parquet", "PARQUET"),
        (
            "STORED AS INPUTFORMAT 'org.apache.hadoop.mapred.TextInputFormat' OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'",
            "TEXTFILE",
        ),
        (
            "STORED AS INPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat' OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat'",
            "PARQUET",
        ),
    ] {
        assert_eq!(table_of(&format!("CREATE TABLE t (a INT) {clause}")).stored_as.as_deref(), Some(expected), "{clause}");
    }
}

#[test]
fn row_format_texts_are_unescaped() {
    let format = |text: &str| table_of(&format!("CREATE TABLE t (a INT) ROW FORMAT {text} STORED AS TEXTFILE")).row_format.unwrap();
    for (written, expected) in [
        ("','", ","),
        (r"'\001'", "\u{1}"),
        (r"'\1'", "\u{1}"),
        (r"'\t'", "\t"),
        (r"'\u0001'", "\u{1}"),
        ("'::'", "::"),
        (r"'\\'", "\\"),
        ("\",\"", ","),
        (r"'\|'", r"\|"),
        (r"'\'", r"\"),
        (r"'\u12'", r"\u12"),
    ] {
        assert_eq!(
            format(&format!("DELIMITED FIELDS TERMINATED BY {written}")).fields_terminated_by.as_deref(),
            Some(expected),
            "{written}"
        );
    }
    let all = format(
        r"DELIMITED FIELDS TERMINATED BY '\t' ESCAPED BY '\\' COLLECTION ITEMS TERMINATED BY ',' MAP KEYS TERMINATED BY ':' LINES TERMINATED BY '\n' NULL DEFINED AS '\\N'",
    );
    let expected = RowFormat {
        fields_terminated_by: Some("\t".into()),
        escaped_by: Some("\\".into()),
        collection_items_terminated_by: Some(",".into()),
        map_keys_terminated_by: Some(":".into()),
        lines_terminated_by: Some("\n".into()),
        null_defined_as: Some("\\N".into()),
        ..RowFormat::default()
    };
    assert_eq!(all, expected);
    let serde = format("SERDE 'org.apache.hadoop.hive.serde2.OpenCSVSerde' WITH SERDEPROPERTIES ('separatorChar' = ';', quoteChar = '\"')");
    assert_eq!(serde.serde.as_deref(), Some("org.apache.hadoop.hive.serde2.OpenCSVSerde"));
    assert_eq!(serde.serde_properties, [text_option("separatorChar", ";"), text_option("quoteChar", "\"")]);
    assert_eq!(format(r"DELIMITED NULL DEFINED AS '\N'").null_defined_as.as_deref(), Some("\\N"));
}

#[test]
fn options_have_many_spellings() {
    for written in ["'a.b'='v'", "'a.b' 'v'", "a.b 'v'", "a.b = 'v'", "a.b = v", "'a.b' v", "`a.b` = \"v\""] {
        for clause in ["OPTIONS", "WITH", "TBLPROPERTIES"] {
            let table = table_of(&format!("CREATE EXTERNAL TABLE t STORED AS CSV {clause} ({written}) LOCATION 'x'"));
            let options = if clause == "TBLPROPERTIES" { table.properties } else { table.options };
            assert_eq!(options, [text_option("a.b", "v")], "{clause} ({written})");
        }
    }
    let table = table_of("CREATE TABLE t WITH ('n' = -1.5, b true, 'password' = SECRET pg, 'max-age' = 3, h 'true')");
    let expected = [
        ("n", OptionValue::Number("-1.5".into())),
        ("b", OptionValue::Bool(true)),
        ("password", OptionValue::Secret("pg".into())),
        ("max-age", OptionValue::Number("3".into())),
        ("h", OptionValue::Text("true".into())),
    ];
    assert_eq!(table.options, expected.map(|(key, value)| SqlOption { key: key.into(), value }));
}

#[test]
fn tables_from_queries_and_without_columns() {
    let table = table_of("CREATE TABLE t STORED AS DELTA PARTITIONED BY (dt) AS SELECT * FROM u WHERE a = ?");
    assert_eq!((table.stored_as.as_deref(), table.partitioned_by[0].data_type.as_ref()), (Some("DELTA"), None));
    assert_eq!(table.query.unwrap().n_parameters, 1);
    let table = table_of("CREATE OR REPLACE TEMPORARY TABLE t AS (SELECT 1)");
    assert!(table.or_replace && table.temporary && table.query.is_some());
    let table = table_of("CREATE EXTERNAL TABLE ratings STORED AS CSV LOCATION 'ratings.csv' OPTIONS ('has_header' 'true')");
    assert!(table.columns.is_empty() && table.options == [text_option("has_header", "true")]);
    assert!(table_of("CREATE TABLE t (a INT) VALUES (1)").query.is_some());
}

#[test]
fn alter_table() {
    let action = |sql: &str| match one(&format!("ALTER TABLE db.t {sql}")) {
        Statement::AlterTable { name: table, action } if table == name("db.t") => action,
        other => panic!("{other:?}"),
    };
    for sql in ["ADD COLUMN a INT", "ADD a INT", "ADD COLUMNS (a INT)"] {
        let AlterTable::AddColumns(columns) = action(sql) else { panic!("{sql}") };
        assert_eq!((columns.len(), columns[0].name.as_str(), columns[0].type_text.as_str()), (1, "a", "INT"), "{sql}");
    }
    for sql in ["ADD COLUMNS (a INT COMMENT 'x', b STRING)", "ADD COLUMN a INT, ADD COLUMN b STRING"] {
        let AlterTable::AddColumns(columns) = action(sql) else { panic!("{sql}") };
        assert_eq!(columns.len(), 2, "{sql}");
    }
    assert_eq!(action("RENAME TO u"), AlterTable::Rename(name("u")));
    assert_eq!(action("SET TBLPROPERTIES ('a' = 'b')"), AlterTable::SetProperties(vec![text_option("a", "b")]));
    let AlterTable::AddPartitions { if_not_exists: true, partitions } =
        action("ADD IF NOT EXISTS PARTITION (dt='2026-01-01', h=1) LOCATION 'x' PARTITION (dt='2026-01-02', h=2)")
    else {
        panic!("partitions")
    };
    assert_eq!((partitions.len(), partitions[0].1.as_deref(), partitions[1].1.as_deref()), (2, Some("x"), None));
    assert_eq!(partitions[0].0[1].value.as_ref().unwrap().to_string(), "1");
    let AlterTable::DropPartitions { if_exists: true, partitions } = action("DROP IF EXISTS PARTITION (dt='a'), PARTITION (dt='b') PURGE")
    else {
        panic!("partitions")
    };
    assert_eq!(partitions.len(), 2);
    assert_eq!(one("ALTER TABLE t RECOVER PARTITIONS"), Statement::MsckRepair { name: name("t") });
}

#[test]
fn drops_and_databases() {
    for (sql, expected) in [
        ("DROP TABLE IF EXISTS db.t PURGE", Statement::DropTable { name: name("db.t"), if_exists: true }),
        ("DROP EXTERNAL TABLE t", Statement::DropTable { name: name("t"), if_exists: false }),
        ("DROP VIEW v CASCADE", Statement::DropView { name: name("v"), if_exists: false }),
        ("DROP SCHEMA IF EXISTS d CASCADE", Statement::DropDatabase { name: "d".into(), if_exists: true, cascade: true }),
        (
            "CREATE DATABASE IF NOT EXISTS lake COMMENT 'c' LOCATION 's3://bucket/lake'",
            Statement::CreateDatabase {
                name: "lake".into(),
                if_not_exists: true,
                location: Some("s3://bucket/lake".into()),
                comment: Some("c".into()),
            },
        ),
        ("USE lake", Statement::Use { database: "lake".into() }),
        ("USE SCHEMA `Lake`", Statement::Use { database: "Lake".into() }),
        ("USE weir.lake", Statement::Use { database: "lake".into() }),
        ("use database", Statement::Use { database: "database".into() }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}

#[test]
fn names_are_quoted_where_needed_and_read_back() {
    for (plain, expected) in [
        ("a", "a"),
        ("userId", "userId"),
        ("_x1", "_x1"),
        ("1a", "\"1a\""),
        ("a b", "\"a b\""),
        ("a\"b", "\"a\"\"b\""),
        ("select", "\"select\""),
        ("Order", "\"Order\""),
        ("timestamp", "\"timestamp\""),
        ("", "\"\""),
        ("é", "\"é\""),
    ] {
        assert_eq!(quote_name(plain), expected);
    }
    let wrong: Vec<_> = sqlparser::keywords::ALL_KEYWORDS
        .iter()
        .filter(|keyword| {
            let quoted = quote_name(&keyword.to_lowercase());
            let query =
                format!("SELECT {quoted}, x.{quoted} AS {quoted}, ({quoted} + 1) FROM {quoted} AS x GROUP BY {quoted} ORDER BY {quoted}");
            let alone = format!("SELECT {quoted} FROM t JOIN {quoted} ON a = {quoted} WHERE {quoted}");
            parse_one(&query).is_err() || parse_one(&alone).is_err()
        })
        .collect();
    assert!(wrong.is_empty(), "these need quotes: {wrong:?}");
}
