//! Parquet files of other writers: other cases, orders and types of columns, missing and nested ones.

use crate::error::Code;
use crate::tables::hive::tests::{Bench, check_error, fields};
use datafusion::arrow::array::{
    Array, ArrayRef, BinaryArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeStringArray, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
use parquet::data_type::{Int96, Int96Type};
use std::sync::Arc;

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, array)| (*name, Arc::clone(array), true))).unwrap()
}

fn array<A: Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

#[tokio::test]
async fn broken_files_are_named() {
    let good = batch(&[("a", array(Int64Array::from_iter_values(0..10_000)))]);
    let bench = Bench::new();
    bench.parquet("good/a.parquet", &good);
    let bytes = std::fs::read(bench.directory.path().join("good/a.parquet")).unwrap();
    let mut flipped = bytes.clone();
    flipped[4..200].fill(0xff);
    for (what, content) in [
        ("empty", Vec::new()),
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("text", b"a,b\n1,2\n".to_vec()),
        ("footer", [&bytes[..bytes.len() - 20], &[0xff; 12], &bytes[bytes.len() - 8..]].concat()),
        ("pages", flipped),
    ] {
        bench.parquet("t/good.parquet", &good);
        bench.file("t/bad.parquet", content);
        bench.table("t", "PARQUET", &[], "a BIGINT", "");
        let error = bench.error("SELECT sum(a) FROM t").await;
        check_error(&error, Code::DataCorrupted, &["could not read Parquet file \"t/bad.parquet\""]);
        assert!(!error.to_string().contains("good") && !error.to_string().contains('\n'), "{what}: {error}");
        assert!(!error.to_string().contains(bench.directory.path().to_str().unwrap()), "{what}: {error}");
        if what != "pages" {
            check_error(&bench.infer("t", "PARQUET", &[]).await.unwrap_err(), Code::DataCorrupted, &["Parquet file \"t/bad.parquet\""]);
        }
    }
}

#[tokio::test]
async fn types_that_would_lose_something_are_refused_with_the_file() {
    let cases: Vec<(ArrayRef, &str, Code, &str)> = vec![
        (array(Float64Array::from(vec![1.5])), "BIGINT", Code::InvalidStatement, "declared as BIGINT and stored as DOUBLE"),
        (array(Float64Array::from(vec![1.5])), "FLOAT", Code::InvalidStatement, "declared as FLOAT and stored as DOUBLE"),
        (array(StringArray::from(vec!["1"])), "INT", Code::InvalidStatement, "declared as INT and stored as STRING"),
        (array(Int32Array::from(vec![1])), "STRING", Code::InvalidStatement, "declared as STRING and stored as INT"),
        (array(Int64Array::from(vec![1])), "TIMESTAMP", Code::InvalidStatement, "declared as TIMESTAMP and stored as BIGINT"),
        (array(TimestampMillisecondArray::from(vec![1])), "DATE", Code::InvalidStatement, "declared as DATE and stored as TIMESTAMP"),
        (array(Int64Array::from(vec![3_000_000_000])), "INT", Code::InvalidValue, "3000000000"),
        (array(BinaryArray::from(vec![&b"\xff"[..]])), "STRING", Code::DataCorrupted, "could not read Parquet"),
        (
            array(Decimal128Array::from(vec![12345]).with_precision_and_scale(10, 3).unwrap()),
            "DECIMAL(10,2)",
            Code::InvalidStatement,
            "declared as DECIMAL(10,2) and stored as DECIMAL(10,3)",
        ),
    ];
    for (stored, declared, code, part) in cases {
        let bench = Bench::new();
        bench.parquet("t/a.parquet", &batch(&[("v", stored)]));
        bench.table("t", "PARQUET", &[], &format!("v {declared}, w INT"), "");
        check_error(&bench.error("SELECT v FROM t").await, code, &["ile \"t/a.parquet\"", part]);
        assert_eq!(bench.rows("SELECT w FROM t").await, ["NULL"], "columns that are not read do no harm");
    }
}

#[tokio::test]
async fn names_that_differ_by_case_only_are_ambiguous() {
    let bench = Bench::new();
    bench.parquet("t/a.parquet", &batch(&[("A", array(Int32Array::from(vec![1]))), ("a", array(Int32Array::from(vec![2])))]));
    bench.table("t", "PARQUET", &[], "a INT", "");
    assert_eq!(bench.rows("SELECT a FROM t").await, ["2"]);
    bench.parquet("u/a.parquet", &batch(&[("AB", array(Int32Array::from(vec![1]))), ("ab", array(Int32Array::from(vec![2])))]));
    bench.table("u", "PARQUET", &[], "Ab INT", "");
    check_error(&bench.error("SELECT * FROM t").await, Code::InvalidStatement, &["\"u/a.parquet\"", "column \"Ab\" is ambiguous"]);
}

#[tokio::test]
async fn columns_are_found_by_name_in_any_order_and_case() {
    let bench = Bench::new();
    let (ids, names) = (array(Int32Array::from(vec![1, 2])), array(StringArray::from(vec![Some("x"), None])));
    bench.parquet("t/1.parquet", &batch(&[("userId", Arc::clone(&ids)), ("Name", Arc::clone(&names))]));
    bench.parquet("t/2.parquet", &batch(&[("extra", Arc::clone(&ids)), ("NAME", names), ("USERID", array(Int64Array::from(vec![3, 4])))]));
    bench.parquet("t/3.parquet", &batch(&[("userid", array(Int16Array::from(vec![5])))]));
    bench.file("t/_SUCCESS", "");
    bench.file("t/.1.parquet.crc", "crc!");
    bench.table("t", "PARQUET", &[], "UserId BIGINT, name STRING", "");
    let rows = ["1|x", "2|NULL", "3|x", "4|NULL", "5|NULL"];
    assert_eq!(bench.rows("SELECT * FROM t ORDER BY 1").await, rows);
    assert_eq!(bench.rows("SELECT name FROM t WHERE \"UserId\" = 3").await, ["x"]);
    assert_eq!(bench.rows("SELECT \"UserId\" FROM t WHERE name IS NULL ORDER BY 1 DESC LIMIT 2").await, ["5", "4"]);
    assert_eq!(bench.rows("SELECT count(*) FROM t").await, ["5"]);
}

#[tokio::test]
async fn types_are_read_as_the_declared_ones_where_nothing_is_lost() {
    let dictionary: DictionaryArray<Int32Type> = vec!["x"].into_iter().collect();
    let cases: Vec<(ArrayRef, &str, &str)> = vec![
        (array(Int8Array::from(vec![-1])), "BIGINT", "-1"),
        (array(Int64Array::from(vec![7])), "INT", "7"),
        (array(UInt32Array::from(vec![u32::MAX])), "BIGINT", "4294967295"),
        (array(UInt64Array::from(vec![5])), "BIGINT", "5"),
        (array(Int32Array::from(vec![7])), "DOUBLE", "7.0"),
        (array(Int32Array::from(vec![7])), "DECIMAL(10,2)", "7.00"),
        (array(Float32Array::from(vec![0.5])), "DOUBLE", "0.5"),
        (array(Decimal128Array::from(vec![15]).with_precision_and_scale(5, 1).unwrap()), "DECIMAL(10,2)", "1.50"),
        (array(LargeStringArray::from(vec!["x"])), "STRING", "x"),
        (array(dictionary), "STRING", "x"),
        (array(BinaryArray::from(vec![&b"x"[..]])), "STRING", "x"),
        (array(StringArray::from(vec!["x"])), "BINARY", "78"),
        (array(Date32Array::from(vec![1])), "TIMESTAMP", "1970-01-02T00:00:00"),
        (array(TimestampMillisecondArray::from(vec![1_500])), "TIMESTAMP", "1970-01-01T00:00:01.500"),
        (array(TimestampNanosecondArray::from(vec![1_500_001_999])), "TIMESTAMP", "1970-01-01T00:00:01.500001"),
        (array(TimestampNanosecondArray::from(vec![1_000]).with_timezone("UTC")), "TIMESTAMP", "1970-01-01T00:00:00.000001"),
    ];
    for (stored, declared, expected) in cases {
        let what = format!("{} as {declared}", stored.data_type());
        let bench = Bench::new();
        bench.parquet("t/a.parquet", &batch(&[("v", stored)]));
        bench.table("t", "PARQUET", &[], &format!("v {declared}"), "");
        assert_eq!(bench.rows("SELECT v FROM t").await, [expected], "{what}");
        assert_eq!(bench.rows("SELECT count(*) FROM t WHERE v IS NOT NULL").await, ["1"], "{what}");
    }
}

#[tokio::test]
async fn timestamps_of_old_writers() {
    let schema = Arc::new(::parquet::schema::parser::parse_message_type("message m { optional int96 t; }").unwrap());
    let mut writer = ::parquet::file::writer::SerializedFileWriter::new(Vec::new(), schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let mut values = vec![Int96::new(), Int96::new()];
    // Nanoseconds of the day in two words, then the Julian day; the second is beyond what nanoseconds in i64 can say.
    values[0].set_data(1_500_001, 0, 2_440_589);
    values[1].set_data(0, 0, 3_182_030);
    column.typed::<Int96Type>().write_batch(&values, Some(&[1, 1]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    let bench = Bench::new();
    bench.file("t/a.parquet", writer.into_inner().unwrap());
    bench.table("t", "PARQUET", &[], "t TIMESTAMP", "");
    assert_eq!(bench.rows("SELECT t FROM t").await, ["1970-01-02T00:00:00.001500", "4000-01-01T00:00:00"]);
    assert_eq!(bench.inferred("t", "PARQUET", &[]).await, "t TIMESTAMP");
}

#[tokio::test]
async fn nested_columns_are_matched_by_name_too() {
    let inner =
        StructArray::from(batch(&[("Lat", array(Float32Array::from(vec![1.0, 2.0]))), ("tags", array(StringArray::from(vec!["a", "b"])))]));
    let list = ListArray::new(
        Arc::new(Field::new("element", inner.data_type().clone(), true)),
        OffsetBuffer::new(vec![0, 2, 2].into()),
        array(inner.clone()),
        None,
    );
    let bench = Bench::new();
    bench.parquet("t/a.parquet", &batch(&[("s", array(inner)), ("l", array(list))]));
    let declared = DataType::Struct(fields("lat DOUBLE, missing INT").into());
    let item = Arc::new(Field::new("item", declared.clone(), true));
    let columns = vec![Field::new("s", declared, true), Field::new("L", DataType::List(item), true)];
    bench.register(bench.def("t", "PARQUET", &[], columns, ""));
    assert_eq!(
        bench.rows("SELECT * FROM t").await,
        ["{lat: 1.0, missing: NULL}|[{lat: 1.0, missing: NULL}, {lat: 2.0, missing: NULL}]", "{lat: 2.0, missing: NULL}|[]"]
    );
    assert_eq!(bench.rows("SELECT s['lat'] FROM t WHERE s['lat'] > 1").await, ["2.0"]);
    assert_eq!(bench.rows("SELECT s['missing'] FROM t").await, ["NULL", "NULL"]);
}

#[tokio::test]
async fn row_groups_are_pruned_through_names_and_types() {
    let bench = Bench::new();
    bench.parquet("t/a.parquet", &batch(&[("userId", array(Int32Array::from_iter_values(0..1_000)))]));
    bench.table("t", "PARQUET", &[], "USERID BIGINT", "");
    let plan = bench.rows("EXPLAIN ANALYZE SELECT \"USERID\" FROM t WHERE \"USERID\" = 250").await.join("\n");
    assert!(plan.contains("row_groups_pruned_statistics=10 total → 1 matched"), "{plan}");
    assert!(plan.contains("files=1/1"), "{plan}");
    assert_eq!(bench.rows("SELECT count(*) FROM t WHERE \"USERID\" % 2 = 1 AND \"USERID\" < 150").await, ["75"]);
}

#[tokio::test]
async fn the_trap_of_filters_inside_the_reader_stays_shut() {
    // engine-traps.md, pushdown_filters: whatever the session says, filters in our scans only prune.
    let bench = Bench::new();
    bench.session.sql("SET datafusion.execution.parquet.pushdown_filters = true").await.unwrap();
    bench.parquet("t/a.parquet", &batch(&[("a", array(Int32Array::from_iter_values(0..1_000)))]));
    bench.table("t", "PARQUET", &[], "a INT", "");
    assert_eq!(bench.rows("SELECT count(*) FROM t WHERE a > 990").await, ["9"]);
}
