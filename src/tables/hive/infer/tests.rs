//! Inference: conflicts and empty directories first, then what each format gives.

use crate::error::Code;
use crate::tables::hive::tests::{Bench, check_error, test_data};
use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray};
use std::sync::Arc;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

#[tokio::test]
async fn what_cannot_be_inferred_is_refused() {
    let bench = Bench::new();
    check_error(&bench.infer("nothing", "CSV", &[]).await.unwrap_err(), Code::Io, &["\"nothing\"", "has no files", "Declare the columns"]);
    bench.file("hidden/_SUCCESS", "");
    check_error(&bench.infer("hidden", "PARQUET", &[]).await.unwrap_err(), Code::Io, &["has no files"]);
    bench.file("empty/a.csv", "");
    check_error(&bench.infer("empty", "CSV", &[]).await.unwrap_err(), Code::InvalidStatement, &["have no columns"]);
    bench.parquet("p/1.parquet", &batch(vec![("v", Arc::new(Int32Array::from(vec![1])))]));
    bench.parquet("p/2.parquet", &batch(vec![("V", Arc::new(StringArray::from(vec!["x"])))]));
    let error = bench.infer("p", "PARQUET", &[]).await.unwrap_err();
    check_error(
        &error,
        Code::InvalidStatement,
        &["column \"v\"", "p/1.parquet", "p/2.parquet", "INT in the first and STRING in the second"],
    );
    bench.file("c/1.csv", "a,b\n1,2\n");
    bench.file("c/2.csv", "a,b,c\n1,2,3\n");
    check_error(
        &bench.infer("c", "CSV", &[]).await.unwrap_err(),
        Code::InvalidStatement,
        &["c/1.csv", "c/2.csv", "2 columns, the second 3"],
    );
    bench.file("d/1.csv", "a,A\n1,2\n");
    check_error(&bench.infer("d", "CSV", &[]).await.unwrap_err(), Code::DuplicateColumn, &["several columns \"A\""]);
    bench.file("j/1.json", "{\"a\":1}\n{\"a\":\n");
    check_error(&bench.infer("j", "JSON", &[]).await.unwrap_err(), Code::DataCorrupted, &["j/1.json", "line 2"]);
}

#[tokio::test]
async fn csv_columns() {
    let bench = Bench::new();
    for (value, expected) in [
        ("1", "BIGINT"),
        ("-9223372036854775808", "BIGINT"),
        ("92233720368547758080", "STRING"),
        ("1.5", "DOUBLE"),
        ("1e3", "DOUBLE"),
        ("true", "BOOLEAN"),
        ("t", "STRING"),
        ("2026-01-31", "DATE"),
        ("2026-01-31 10:00", "TIMESTAMP"),
        ("2026-01-31T10:00:00Z", "TIMESTAMP"),
        ("31.01.2026", "STRING"),
        ("", "STRING"),
        (" ", "STRING"),
        ("NaN", "STRING"),
    ] {
        bench.file("t/a.csv", format!("v,w\n{value},1\n,2\n"));
        assert_eq!(bench.inferred("t", "CSV", &[]).await, format!("v {expected}, w BIGINT"), "{value:?}");
    }
    for (values, expected) in [("1\n1.5", "DOUBLE"), ("1\ntrue", "STRING"), ("2026-01-31\n2026-01-31 10:00", "TIMESTAMP")] {
        bench.file("t/a.csv", format!("v\n{values}\n"));
        assert_eq!(bench.inferred("t", "CSV", &[]).await, format!("v {expected}"), "{values:?}");
    }
    bench.file("t/a.csv", "1;x\n2.5;y;z\n");
    assert_eq!(bench.inferred("t", "CSV", &[("header", "false"), ("delimiter", ";")]).await, "_c0 DOUBLE, _c1 STRING, _c2 STRING");
    bench.file("t/a.csv", "a,b\n1,x\n");
    bench.file("t/b.csv", "B,A\ny,1.5\n");
    assert_eq!(bench.inferred("t", "CSV", &[]).await, "a DOUBLE, b STRING");
}

#[tokio::test]
async fn a_value_beyond_the_sample_is_an_error_that_says_what_to_do() {
    let bench = Bench::new();
    let rows = (0..super::ROWS_MAX).map(|row| format!("{row}\n")).collect::<String>();
    bench.file("t/a.csv", format!("v\n{rows}late\n"));
    assert_eq!(bench.inferred("t", "CSV", &[]).await, "v BIGINT");
    bench.table("t", "CSV", &[], "v BIGINT", "");
    check_error(
        &bench.error("SELECT sum(v) FROM t").await,
        Code::InvalidValue,
        &["line 10002", "\"late\"", "Declare the column as STRING"],
    );
}

#[tokio::test]
async fn json_columns() {
    let bench = Bench::new();
    let content = concat!(
        "{\"id\":1,\"x\":null,\"d\":1,\"n\":{\"a\":[1,null],\"b\":\"2026-01-31\"},\"e\":{},\"mix\":1}\n",
        "{\"ID\":2,\"d\":0.5,\"t\":\"2026-01-31T10:00:00Z\",\"n\":{\"a\":[2.5],\"c\":true},\"mix\":\"x\",\"q\":\"12\"}\n"
    );
    bench.file("t/a.json", content);
    let expected =
        "id BIGINT, x STRING, d DOUBLE, n STRUCT<a: ARRAY<DOUBLE>, b: DATE, c: BOOLEAN>, e STRING, mix STRING, t TIMESTAMP, q STRING";
    assert_eq!(bench.inferred("t", "JSON", &[]).await, expected);
}

#[tokio::test]
async fn parquet_columns_are_the_union_of_all_footers() {
    let bench = Bench::new();
    bench.parquet("p/1.parquet", &batch(vec![("Id", Arc::new(Int32Array::from(vec![1]))), ("v", Arc::new(Int64Array::from(vec![1])))]));
    bench.parquet(
        "p/2.parquet",
        &batch(vec![("v", Arc::new(Float64Array::from(vec![1.5]))), ("s", Arc::new(LargeStringArray::from(vec!["x"])))]),
    );
    bench.parquet("p/3.parquet", &batch(vec![("id", Arc::new(Int64Array::from(vec![3])))]));
    assert_eq!(bench.inferred("p", "PARQUET", &[]).await, "Id BIGINT, v DOUBLE, s STRING");
    let (schema, _) = bench.infer("p", "PARQUET", &[]).await.unwrap();
    bench.register(bench.def("p", "PARQUET", &[], schema.fields().iter().map(|field| field.as_ref().clone()).collect(), ""));
    assert_eq!(bench.rows("SELECT * FROM t ORDER BY v").await, ["1|1.0|NULL", "NULL|1.5|x", "3|NULL|NULL"]);
}

#[tokio::test]
async fn partition_columns() {
    let bench = Bench::new();
    for (directory, day) in [("01", "2026-01-01"), ("2", "__HIVE_DEFAULT_PARTITION__")] {
        bench.file(&format!("t/Part={directory}/day={day}/name=x{directory}/a.csv"), "v,day\n1,9\n");
    }
    assert_eq!(bench.inferred("t", "CSV", &[]).await, "v BIGINT / Part BIGINT, day DATE, name STRING");
    bench.file("t/part=x/day=2026-01-01/name=1/a.csv", "v,day\n1,9\n");
    assert_eq!(bench.inferred("t", "CSV", &[]).await, "v BIGINT / Part STRING, day DATE, name STRING");
}

#[tokio::test]
async fn real_files() {
    let bench = Bench::new();
    let copy = |from: &str, to: &str| bench.file(to, std::fs::read(test_data().join(from)).unwrap());
    copy("telco-churn/WA_Fn-UseC_-Telco-Customer-Churn.csv", "churn/a.csv");
    let churn = bench.inferred("churn", "CSV", &[]).await;
    for part in ["customerID STRING", "SeniorCitizen BIGINT", "tenure BIGINT", "MonthlyCharges DOUBLE", "TotalCharges STRING"] {
        assert!(churn.contains(part), "{churn} lacks {part}");
    }
    copy("ml-latest-small/ratings.csv", "ratings.csv");
    assert_eq!(bench.inferred("ratings.csv", "CSV", &[]).await, "userId BIGINT, movieId BIGINT, rating DOUBLE, timestamp BIGINT");
    copy("used-cars/ford.csv", "cars/ford.csv");
    copy("used-cars/vw.csv", "cars/vw.csv");
    let expected = "model STRING, year BIGINT, price BIGINT, transmission STRING, mileage BIGINT, fuelType STRING, tax BIGINT, mpg DOUBLE, engineSize DOUBLE";
    assert_eq!(bench.inferred("cars", "CSV", &[]).await, expected);
}
