//! SQL type names, of every dialect that people bring, to Arrow types.

use crate::error::{Code, Error, Result};
use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryLength, DataType as Sql, ExactNumberInfo, ObjectName, StructField, TimezoneInfo,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, SparkSqlDialect};
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use std::sync::Arc;

/// DECIMAL without digits. Hive and Spark say (10,0), which silently cuts what PostgreSQL users write; this holds both.
const DECIMAL_DEFAULT: (u8, i8) = (38, 10);

/// The Arrow type of a type as text (`DECIMAL(10,2)`, `ARRAY<STRING>`), as the catalog keeps it.
pub fn parse(sql_type: &str) -> Result<DataType> {
    // Spark's dialect reads MAP<> and STRUCT<a: INT>; the generic one reads the rest of the world.
    let dialects: [&dyn Dialect; 2] = [&SparkSqlDialect {}, &GenericDialect {}];
    let mut first_error = None;
    for dialect in dialects {
        let parsed = Parser::new(dialect).try_with_sql(sql_type).and_then(|mut parser| {
            let data_type = parser.parse_data_type()?;
            parser.expect_token(&Token::EOF)?;
            Ok(data_type)
        });
        match parsed {
            Ok(data_type) => return arrow_type(&data_type),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    let error = Error::new(Code::Syntax, format!("cannot read the type \"{sql_type}\""));
    Err(match first_error {
        Some(parser_error) => error.detail(format!("{parser_error}.")),
        None => error,
    })
}

/// The Arrow type of a SQL type.
///
/// TIMESTAMP is microseconds without zone, TIMESTAMP WITH TIME ZONE microseconds in UTC; TIMESTAMP(0), (3), (6), (9) choose
/// the unit. Lengths of VARCHAR and CHAR are not kept. FLOAT is 32 bits as in Hive, Spark and MySQL.
///
/// # Errors
/// `NotSupported` for types without an Arrow counterpart (geometry, bit strings, TIME WITH TIME ZONE);
/// `InvalidStatement` for impossible digits.
pub fn arrow_type(sql_type: &Sql) -> Result<DataType> {
    if let Some(data_type) = plain_type(sql_type) {
        return Ok(data_type);
    }
    match sql_type {
        Sql::Numeric(info) | Sql::Decimal(info) | Sql::BigNumeric(info) | Sql::BigDecimal(info) | Sql::Dec(info) => decimal(*info),
        Sql::DecimalUnsigned(info) | Sql::DecUnsigned(info) => decimal(*info),
        Sql::Float(info) | Sql::FloatUnsigned(info) => Ok(float(*info)),
        Sql::Binary(Some(size)) => i32::try_from(*size)
            .map(DataType::FixedSizeBinary)
            .map_err(|_| Error::new(Code::InvalidStatement, format!("BINARY({size}) is too long"))),
        Sql::Time(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            Err(not_supported(sql_type).hint("Use TIME, or TIMESTAMP WITH TIME ZONE."))
        }
        Sql::Time(digits, _) => time(*digits),
        Sql::Timestamp(digits, zone) => {
            let zoned = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
            timestamp(*digits, zoned.then_some("UTC"))
        }
        Sql::TimestampNtz(digits) | Sql::Datetime(digits) => timestamp(*digits, None),
        Sql::Datetime64(digits, zone) => timestamp(Some(*digits), zone.as_deref()),
        Sql::Array(ArrayElemTypeDef::AngleBracket(element) | ArrayElemTypeDef::Parenthesis(element)) => {
            Ok(DataType::new_list(arrow_type(element)?, true))
        }
        Sql::Array(ArrayElemTypeDef::SquareBracket(element, None)) => Ok(DataType::new_list(arrow_type(element)?, true)),
        Sql::Array(ArrayElemTypeDef::SquareBracket(element, Some(size))) => {
            let size = i32::try_from(*size).map_err(|_| Error::new(Code::InvalidStatement, format!("an array of {size} is too long")))?;
            Ok(DataType::new_fixed_size_list(arrow_type(element)?, size, true))
        }
        Sql::Array(ArrayElemTypeDef::None) => {
            Err(Error::new(Code::InvalidStatement, "ARRAY needs the type of its elements").hint("Write ARRAY<STRING>, for example."))
        }
        Sql::Map(key, value) => Ok(map(arrow_type(key)?, arrow_type(value)?)),
        Sql::Struct(fields, _) | Sql::Tuple(fields) => structure(fields),
        Sql::Nullable(inner) | Sql::LowCardinality(inner) => arrow_type(inner),
        Sql::Custom(name, arguments) => custom(name, arguments).unwrap_or_else(|| Err(not_supported(sql_type))),
        _ => Err(not_supported(sql_type)),
    }
}

fn not_supported(sql_type: &Sql) -> Error {
    Error::new(Code::NotSupported, format!("type {sql_type} is not supported"))
}

/// The types that need no look at their arguments.
fn plain_type(sql_type: &Sql) -> Option<DataType> {
    Some(match sql_type {
        Sql::Bool | Sql::Boolean | Sql::Bit(None | Some(1)) => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) | Sql::Int2(_) | Sql::Int16 => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) | Sql::MediumInt(_) | Sql::Int4(_) | Sql::Int32 => DataType::Int32,
        Sql::BigInt(_) | Sql::Int8(_) | Sql::Int64 | Sql::Signed | Sql::SignedInteger => DataType::Int64,
        Sql::TinyIntUnsigned(_) | Sql::UTinyInt | Sql::UInt8 => DataType::UInt8,
        Sql::SmallIntUnsigned(_) | Sql::Int2Unsigned(_) | Sql::USmallInt | Sql::UInt16 => DataType::UInt16,
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) | Sql::MediumIntUnsigned(_) | Sql::Int4Unsigned(_) | Sql::UInt32 => DataType::UInt32,
        Sql::BigIntUnsigned(_) | Sql::Int8Unsigned(_) | Sql::UBigInt | Sql::UInt64 | Sql::Unsigned | Sql::UnsignedInteger => {
            DataType::UInt64
        }
        Sql::HugeInt | Sql::Int128 => DataType::Decimal128(38, 0),
        Sql::Real | Sql::RealUnsigned | Sql::Float4 | Sql::Float32 => DataType::Float32,
        Sql::Float8 | Sql::Float64 | Sql::Double(_) | Sql::DoubleUnsigned(_) | Sql::DoublePrecision | Sql::DoublePrecisionUnsigned => {
            DataType::Float64
        }
        Sql::Character(_)
        | Sql::Char(_)
        | Sql::CharacterVarying(_)
        | Sql::CharVarying(_)
        | Sql::Varchar(_)
        | Sql::Nvarchar(_)
        | Sql::CharacterLargeObject(_)
        | Sql::CharLargeObject(_)
        | Sql::Clob(_)
        | Sql::Text
        | Sql::TinyText
        | Sql::MediumText
        | Sql::LongText
        | Sql::String(_)
        | Sql::FixedString(_)
        | Sql::Uuid
        | Sql::JSON
        | Sql::JSONB
        | Sql::Enum(_, _)
        | Sql::Set(_) => DataType::Utf8,
        Sql::Binary(None)
        | Sql::Varbinary(None | Some(BinaryLength::Max | BinaryLength::IntegerLength { .. }))
        | Sql::Blob(_)
        | Sql::TinyBlob
        | Sql::MediumBlob
        | Sql::LongBlob
        | Sql::Bytes(_)
        | Sql::Bytea => DataType::Binary,
        Sql::Date | Sql::Date32 => DataType::Date32,
        Sql::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => return None,
    })
}

/// Type names that the parser keeps as they are: Spark, Oracle, Snowflake, SQL Server, PostgreSQL, and ODBC (`SQL_..`).
fn custom(name: &ObjectName, arguments: &[String]) -> Option<Result<DataType>> {
    let name = name.0.last()?.as_ident()?.value.to_uppercase();
    // `{fn CONVERT(x, SQL_BIGINT)}` and `{fn CONVERT(x, SQL_TYPE_DATE)}`.
    let name = name.strip_prefix("SQL_").unwrap_or(&name);
    let name = name.strip_prefix("TYPE_").unwrap_or(name);
    let data_type = match name {
        "BOOL" | "BOOLEAN" | "BIT" => DataType::Boolean,
        "BYTE" | "TINYINT" => DataType::Int8,
        "SHORT" | "SMALLINT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "LONG" | "BIGINT" | "OID" => DataType::Int64,
        "REAL" => DataType::Float32,
        "DOUBLE" | "FLOAT" => DataType::Float64,
        "CHAR" | "VARCHAR" | "LONGVARCHAR" | "WCHAR" | "WVARCHAR" | "WLONGVARCHAR" | "GUID" => DataType::Utf8,
        "NCHAR" | "NTEXT" | "VARCHAR2" | "NVARCHAR2" | "NCLOB" | "BPCHAR" | "NAME" | "CITEXT" | "XML" | "UNIQUEIDENTIFIER" => {
            DataType::Utf8
        }
        "BINARY" | "VARBINARY" | "LONGVARBINARY" | "IMAGE" | "RAW" => DataType::Binary,
        "DATE" => DataType::Date32,
        "TIME" => DataType::Time64(TimeUnit::Nanosecond),
        "MONEY" => DataType::Decimal128(19, 4),
        "SMALLMONEY" => DataType::Decimal128(10, 4),
        "TIMESTAMP" | "SMALLDATETIME" | "DATETIME2" => return Some(digits(arguments).and_then(|digits| timestamp(digits, None))),
        "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" | "DATETIMEOFFSET" => {
            return Some(digits(arguments).and_then(|digits| timestamp(digits, Some("UTC"))));
        }
        "NUMBER" | "DECIMAL" | "NUMERIC" | "DECFLOAT" => return Some(number(arguments)),
        _ => return None,
    };
    Some(Ok(data_type))
}

fn digits(arguments: &[String]) -> Result<Option<u64>> {
    arguments.first().map(|text| text.parse().map_err(|_| unreadable(text))).transpose()
}

fn number(arguments: &[String]) -> Result<DataType> {
    let read = |text: &String| text.parse::<i64>().map_err(|_| unreadable(text));
    match arguments {
        [] => decimal(ExactNumberInfo::None),
        [precision] => decimal(ExactNumberInfo::Precision(read(precision)?.unsigned_abs())),
        [precision, scale, ..] => decimal(ExactNumberInfo::PrecisionAndScale(read(precision)?.unsigned_abs(), read(scale)?)),
    }
}

fn unreadable(text: &str) -> Error {
    Error::new(Code::InvalidStatement, format!("\"{text}\" is not a number of digits"))
}

fn decimal(info: ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok(DataType::Decimal128(DECIMAL_DEFAULT.0, DECIMAL_DEFAULT.1)),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    let wrong =
        |detail: String| Error::new(Code::InvalidStatement, format!("type DECIMAL({precision},{scale}) is impossible")).detail(detail);
    let (Ok(digits), Ok(after_point)) = (u8::try_from(precision), i8::try_from(scale)) else {
        return Err(wrong("The precision is from 1 to 76.".to_owned()));
    };
    match digits {
        0 | 77.. => Err(wrong("The precision is from 1 to 76.".to_owned())),
        _ if after_point < 0 || scale.unsigned_abs() > precision => {
            Err(wrong(format!("The scale is from 0 to the precision, {precision}.")))
        }
        1..=38 => Ok(DataType::Decimal128(digits, after_point)),
        39..=76 => Ok(DataType::Decimal256(digits, after_point)),
    }
}

fn float(info: ExactNumberInfo) -> DataType {
    match info {
        // FLOAT(53) counts bits, as in PostgreSQL and SQL Server.
        ExactNumberInfo::Precision(bits) if bits > 24 => DataType::Float64,
        ExactNumberInfo::None | ExactNumberInfo::Precision(_) | ExactNumberInfo::PrecisionAndScale(_, _) => DataType::Float32,
    }
}

fn unit(digits: u64, of: &str) -> Result<TimeUnit> {
    match digits {
        0 => Ok(TimeUnit::Second),
        1..=3 => Ok(TimeUnit::Millisecond),
        4..=6 => Ok(TimeUnit::Microsecond),
        7..=9 => Ok(TimeUnit::Nanosecond),
        _ => Err(Error::new(Code::InvalidStatement, format!("type {of}({digits}) is impossible"))
            .detail("Seconds have 0 to 9 digits after the point.")),
    }
}

fn timestamp(digits: Option<u64>, zone: Option<&str>) -> Result<DataType> {
    Ok(DataType::Timestamp(unit(digits.unwrap_or(6), "TIMESTAMP")?, zone.map(Arc::from)))
}

fn time(digits: Option<u64>) -> Result<DataType> {
    Ok(match unit(digits.unwrap_or(9), "TIME")? {
        unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
        unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
    })
}

fn map(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

fn structure(fields: &[StructField]) -> Result<DataType> {
    let fields = fields
        .iter()
        .enumerate()
        .map(|(index, field)| {
            // BigQuery allows fields without a name: they are `c0`, `c1` .. as in DataFusion.
            let name = field.field_name.as_ref().map_or_else(|| format!("c{index}"), |name| name.value.clone());
            Ok(Field::new(name, arrow_type(&field.field_type)?, true))
        })
        .collect::<Result<Fields>>()?;
    Ok(DataType::Struct(fields))
}
