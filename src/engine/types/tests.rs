//! Type names of every dialect, there and back.

use super::*;
use crate::error::Code;
use datafusion::arrow::datatypes::{IntervalUnit, TimeUnit};

#[track_caller]
fn refuses(sql_type: &str, code: Code, message: &str) {
    let error = parse(sql_type).expect_err(sql_type);
    assert_eq!((error.code, error.message.as_str()), (code, message), "{sql_type}");
}

#[test]
fn impossible_types_are_refused() {
    refuses("DECIMAL(77,2)", Code::InvalidStatement, "type DECIMAL(77,2) is impossible");
    refuses("DECIMAL(0)", Code::InvalidStatement, "type DECIMAL(0,0) is impossible");
    refuses("DECIMAL(5,6)", Code::InvalidStatement, "type DECIMAL(5,6) is impossible");
    refuses("DECIMAL(5,-1)", Code::InvalidStatement, "type DECIMAL(5,-1) is impossible");
    refuses("TIMESTAMP(10)", Code::InvalidStatement, "type TIMESTAMP(10) is impossible");
    refuses("TIME WITH TIME ZONE", Code::NotSupported, "type TIME WITH TIME ZONE is not supported");
    refuses("TSVECTOR", Code::NotSupported, "type TSVECTOR is not supported");
    refuses("PIZZA", Code::NotSupported, "type PIZZA is not supported");
    refuses("INT INT", Code::Syntax, "cannot read the type \"INT INT\"");
    refuses("ARRAY<PIZZA>", Code::NotSupported, "type PIZZA is not supported");
}

#[track_caller]
fn reads(sql_types: &[&str], expected: &DataType) {
    for sql_type in sql_types {
        assert_eq!(parse(sql_type).as_ref(), Ok(expected), "{sql_type}");
    }
}

#[test]
fn type_names_of_every_dialect_are_read() {
    reads(&["TINYINT", "tinyint(4)", "BYTE"], &DataType::Int8);
    reads(&["SMALLINT", "INT2", "SHORT"], &DataType::Int16);
    reads(&["INT", "INTEGER", "INT4", "MEDIUMINT", "SQL_INTEGER"], &DataType::Int32);
    reads(&["BIGINT", "INT8", "INT64", "LONG", "SIGNED", "SQL_BIGINT"], &DataType::Int64);
    reads(&["BIGINT UNSIGNED", "UNSIGNED"], &DataType::UInt64);
    reads(&["INT UNSIGNED"], &DataType::UInt32);
    reads(&["FLOAT", "REAL", "FLOAT4", "FLOAT(24)"], &DataType::Float32);
    reads(&["DOUBLE", "DOUBLE PRECISION", "FLOAT8", "FLOAT64", "FLOAT(53)", "SQL_DOUBLE"], &DataType::Float64);
    reads(&["DECIMAL", "NUMERIC", "NUMBER", "BIGNUMERIC"], &DataType::Decimal128(38, 10));
    reads(&["DECIMAL(10,2)", "NUMERIC(10, 2)", "NUMBER(10,2)", "DEC(10,2)"], &DataType::Decimal128(10, 2));
    reads(&["DECIMAL(10)", "NUMBER(10)"], &DataType::Decimal128(10, 0));
    reads(&["DECIMAL(50,2)"], &DataType::Decimal256(50, 2));
    reads(&["BOOLEAN", "BOOL", "BIT", "SQL_BIT"], &DataType::Boolean);
    reads(&["STRING", "TEXT", "VARCHAR", "VARCHAR(20)", "CHAR(3)", "CHARACTER VARYING(9)", "NVARCHAR(MAX)"], &DataType::Utf8);
    reads(&["UUID", "JSON", "JSONB", "ENUM('a', 'b')", "SQL_WVARCHAR", "VARCHAR2"], &DataType::Utf8);
    reads(&["BINARY", "BYTEA", "VARBINARY(8)", "BLOB", "BYTES"], &DataType::Binary);
    reads(&["DATE", "SQL_TYPE_DATE"], &DataType::Date32);
    reads(&["TIME", "TIME WITHOUT TIME ZONE"], &DataType::Time64(TimeUnit::Nanosecond));
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    reads(&["TIMESTAMP", "TIMESTAMP(6)", "TIMESTAMP_NTZ", "DATETIME", "TIMESTAMP WITHOUT TIME ZONE", "SQL_TYPE_TIMESTAMP"], &micros);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    reads(&["TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_LTZ"], &zoned);
    reads(&["INTERVAL"], &DataType::Interval(IntervalUnit::MonthDayNano));
    reads(&["ARRAY<INT>", "INT[]"], &DataType::new_list(DataType::Int32, true));
    let nested = DataType::new_list(DataType::new_list(DataType::Int64, true), true);
    reads(&["ARRAY<ARRAY<BIGINT>>", "BIGINT[][]"], &nested);
    let pair = vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8, true)];
    reads(&["STRUCT<a: INT, b: STRING>", "STRUCT<a INT, b STRING>"], &DataType::Struct(pair.into()));
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int32, true)];
    let entries = Field::new("entries", DataType::Struct(entries.into()), false);
    reads(&["MAP<STRING, INT>"], &DataType::Map(Arc::new(entries), false));
}

/// Every type that a file or a query can bring and that a table column keeps as it is.
fn column_types() -> Vec<DataType> {
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let mut plain = vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(38, 10),
        DataType::Decimal128(5, 5),
        DataType::Decimal256(76, 38),
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Time32(TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Interval(IntervalUnit::MonthDayNano),
    ];
    for unit in units {
        plain.push(DataType::Timestamp(unit, None));
        plain.push(DataType::Timestamp(unit, Some("UTC".into())));
        plain.push(DataType::Timestamp(unit, Some("Europe/Paris".into())));
    }
    let odd_names = ["a", "a b", "select", "tick`tick", "Größe", "x:y"];
    let fields: Vec<Field> = odd_names.iter().zip(&plain).map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect();
    let structure = DataType::Struct(fields.into());
    let mut all = plain.clone();
    for data_type in plain.into_iter().chain([structure]) {
        let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", data_type.clone(), true)];
        all.push(DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries.into()), false)), false));
        all.push(DataType::new_list(DataType::new_list(data_type.clone(), true), true));
        all.push(DataType::new_fixed_size_list(data_type.clone(), 3, true));
        all.push(data_type);
    }
    all
}

#[test]
fn names_are_read_back_as_the_same_type() {
    for data_type in column_types() {
        let name = sql_name(&data_type);
        assert_eq!(parse(&name).as_ref(), Ok(&data_type), "{name}");
        assert_eq!(column_type(&data_type), data_type, "{name}");
    }
}

#[test]
fn types_without_a_name_of_their_own_become_the_plain_column_type() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
    for (data_type, expected) in [
        (dictionary, DataType::Utf8),
        (DataType::Null, DataType::Utf8),
        (DataType::LargeBinary, DataType::Binary),
        (DataType::Float16, DataType::Float32),
        (DataType::Date64, DataType::Date32),
        (DataType::LargeList(Arc::new(Field::new("element", DataType::Utf8View, false))), DataType::new_list(DataType::Utf8, true)),
    ] {
        assert_eq!(column_type(&data_type), expected, "{data_type}");
    }
}

#[test]
fn clients_see_postgresql_names() {
    for (sql_type, postgres, client) in [
        ("BIGINT", "bigint", "BIGINT"),
        ("DOUBLE", "double precision", "DOUBLE"),
        ("STRING", "character varying", "VARCHAR"),
        ("DECIMAL(10,2)", "numeric", "DECIMAL"),
        ("TIMESTAMP", "timestamp without time zone", "TIMESTAMP"),
        ("TIMESTAMPTZ", "timestamp with time zone", "TIMESTAMP WITH TIME ZONE"),
        ("ARRAY<INT>", "ARRAY", "ARRAY"),
    ] {
        let data_type = parse(sql_type).unwrap();
        assert_eq!((postgres_name(&data_type), client_name(&data_type)), (postgres, client), "{sql_type}");
    }
    assert_eq!((precision(&DataType::Decimal128(10, 2)), scale(&DataType::Decimal128(10, 2))), (Some(10), Some(2)));
    assert_eq!(precision(&DataType::Timestamp(TimeUnit::Microsecond, None)), Some("2026-01-01 00:00:00.000000".len() as i32));
}
