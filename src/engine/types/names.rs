//! Names of Arrow types: for DDL, for Flight SQL clients, and for `information_schema`.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

/// The SQL type that `parse` reads back as the same type.
///
/// Views, large variants and dictionaries have no SQL name of their own: they are named as the plain type
/// (see [`super::column_type`]).
pub fn sql_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "TINYINT UNSIGNED",
        DataType::UInt16 => "SMALLINT UNSIGNED",
        DataType::UInt32 => "INT UNSIGNED",
        DataType::UInt64 => "BIGINT UNSIGNED",
        DataType::Float16 | DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null | DataType::Union(_, _) => "STRING",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BINARY",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Interval(_) | DataType::Duration(_) => "INTERVAL",
        DataType::FixedSizeBinary(size) => return format!("BINARY({size})"),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => return format!("DECIMAL({precision},{scale})"),
        DataType::Time32(unit) | DataType::Time64(unit) => {
            return match unit {
                TimeUnit::Nanosecond => "TIME".to_owned(),
                unit => format!("TIME({})", digits(unit)),
            };
        }
        DataType::Timestamp(unit, zone) => return timestamp_name(unit, zone.as_deref()),
        DataType::Dictionary(_, value) => return sql_name(value),
        DataType::RunEndEncoded(_, values) => return sql_name(values.data_type()),
        DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) | DataType::LargeListView(field) => {
            return format!("ARRAY<{}>", sql_name(field.data_type()));
        }
        DataType::FixedSizeList(field, size) => return format!("{}[{size}]", sql_name(field.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| struct_field(field)).collect();
            return format!("STRUCT<{}>", fields.join(", "));
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { return "MAP<STRING, STRING>".to_owned() };
            let of = |index: usize| fields.get(index).map_or_else(|| "STRING".to_owned(), |field| sql_name(field.data_type()));
            return format!("MAP<{}, {}>", of(0), of(1));
        }
    };
    name.to_owned()
}

fn timestamp_name(unit: &TimeUnit, zone: Option<&str>) -> String {
    let precision = match unit {
        TimeUnit::Microsecond => String::new(),
        unit => format!("({})", digits(unit)),
    };
    match zone {
        None => format!("TIMESTAMP{precision}"),
        Some("UTC") => format!("TIMESTAMP{precision} WITH TIME ZONE"),
        // The standard has no type with a named zone; this is ClickHouse's.
        Some(zone) => format!("DATETIME64({}, '{}')", digits(unit), zone.replace('\'', "")),
    }
}

fn digits(unit: &TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn struct_field(field: &Field) -> String {
    // Always quoted: field names come from files and may be anything, keywords too.
    format!("`{}`: {}", field.name().replace('`', "``"), sql_name(field.data_type()))
}

/// The type name in Flight SQL column metadata and type lists: upper case, without length or precision.
pub fn client_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 | DataType::UInt8 => "SMALLINT",
        DataType::Int32 | DataType::UInt16 => "INTEGER",
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "BIGINT",
        DataType::Float16 | DataType::Float32 => "REAL",
        DataType::Float64 => "DOUBLE",
        DataType::Decimal32(_, _) | DataType::Decimal64(_, _) | DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => "DECIMAL",
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Null
        | DataType::Union(_, _)
        | DataType::Interval(_)
        | DataType::Duration(_) => "VARCHAR",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "VARBINARY",
        DataType::Date32 | DataType::Date64 => "DATE",
        DataType::Time32(_) | DataType::Time64(_) => "TIME",
        DataType::Timestamp(_, None) => "TIMESTAMP",
        DataType::Timestamp(_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
        DataType::Dictionary(_, value) => client_name(value),
        DataType::RunEndEncoded(_, values) => client_name(values.data_type()),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) | DataType::ListView(_) | DataType::LargeListView(_) => {
            "ARRAY"
        }
        DataType::Struct(_) => "STRUCT",
        DataType::Map(_, _) => "MAP",
    }
}

/// The type name that `information_schema` shows: PostgreSQL's, which clients compare with.
pub fn postgres_name(data_type: &DataType) -> &'static str {
    match client_name(data_type) {
        "BOOLEAN" => "boolean",
        "TINYINT" | "SMALLINT" => "smallint",
        "INTEGER" => "integer",
        "BIGINT" => "bigint",
        "REAL" => "real",
        "DOUBLE" => "double precision",
        "DECIMAL" => "numeric",
        "VARBINARY" => "bytea",
        "DATE" => "date",
        "TIME" => "time without time zone",
        "TIMESTAMP" => "timestamp without time zone",
        "TIMESTAMP WITH TIME ZONE" => "timestamp with time zone",
        "ARRAY" => "ARRAY",
        "STRUCT" => "record",
        "MAP" => "map",
        // What leaves the server as text says so.
        _ => "character varying",
    }
}

/// Decimal digits of a numeric type, characters of a date or time; `None` where there is no limit.
pub fn precision(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Boolean => Some(1),
        DataType::Int8 => Some(3),
        DataType::Int16 | DataType::UInt8 => Some(5),
        DataType::Int32 | DataType::UInt16 => Some(10),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Some(19),
        DataType::Float16 | DataType::Float32 => Some(7),
        DataType::Float64 => Some(15),
        DataType::Decimal32(precision, _)
        | DataType::Decimal64(precision, _)
        | DataType::Decimal128(precision, _)
        | DataType::Decimal256(precision, _) => Some(i32::from(*precision)),
        DataType::Date32 | DataType::Date64 => Some(10),
        DataType::Time32(_) | DataType::Time64(_) => Some(18),
        DataType::Timestamp(unit, _) => Some(match digits(unit) {
            0 => 19,
            digits => 20 + i32::from(digits),
        }),
        _ => None,
    }
}

/// Digits after the point of a numeric type, of the seconds of a time; `None` where it means nothing.
pub fn scale(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => Some(0),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            Some(i32::from(*scale))
        }
        DataType::Time32(unit) | DataType::Time64(unit) | DataType::Timestamp(unit, _) => Some(i32::from(digits(unit))),
        _ => None,
    }
}
