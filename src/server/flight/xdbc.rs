//! The SQL types as ODBC and JDBC list them: GetXdbcTypeInfo.

use crate::error::{Error, Result};
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType, XdbcDatetimeSubcode};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use std::sync::LazyLock;

/// One SQL type.
#[derive(Debug, Clone, Copy)]
struct SqlType {
    /// As in column metadata.
    name: &'static str,
    code: XdbcDataType,
    /// Digits of a number, characters of a date; `None`: no limit.
    size: Option<i32>,
    /// How a literal begins and ends.
    literal: Option<(&'static str, &'static str)>,
    /// What stands in brackets in DDL.
    parameters: &'static [&'static str],
    searchable: Searchable,
    number: Option<Number>,
    /// For dates and times: the verbose code.
    subcode: Option<XdbcDatetimeSubcode>,
}

#[derive(Debug, Clone, Copy)]
struct Number {
    /// 10 or 2: what `size` counts.
    radix: i32,
    scale_max: i32,
}

const INTEGER: Option<Number> = Some(Number { radix: 10, scale_max: 0 });
const FLOAT: Option<Number> = Some(Number { radix: 2, scale_max: 0 });

const fn number(name: &'static str, code: XdbcDataType, size: i32, number: Option<Number>) -> SqlType {
    SqlType { name, code, size: Some(size), literal: None, parameters: &[], searchable: Searchable::Full, number, subcode: None }
}

const fn other(name: &'static str, code: XdbcDataType, size: Option<i32>, literal: (&'static str, &'static str)) -> SqlType {
    SqlType { name, code, size, literal: Some(literal), parameters: &[], searchable: Searchable::Basic, number: None, subcode: None }
}

/// The types, sorted by code as the protocol wants them.
static TYPES: &[SqlType] = &[
    SqlType { literal: None, ..other("BOOLEAN", XdbcDataType::XdbcBit, Some(1), ("", "")) },
    number("TINYINT", XdbcDataType::XdbcTinyint, 3, INTEGER),
    number("BIGINT", XdbcDataType::XdbcBigint, 19, INTEGER),
    other("VARBINARY", XdbcDataType::XdbcVarbinary, None, ("X'", "'")),
    SqlType {
        parameters: &["precision", "scale"],
        ..number("DECIMAL", XdbcDataType::XdbcDecimal, 38, Some(Number { radix: 10, scale_max: 38 }))
    },
    number("INTEGER", XdbcDataType::XdbcInteger, 10, INTEGER),
    number("SMALLINT", XdbcDataType::XdbcSmallint, 5, INTEGER),
    number("REAL", XdbcDataType::XdbcReal, 24, FLOAT),
    number("DOUBLE", XdbcDataType::XdbcDouble, 53, FLOAT),
    SqlType { searchable: Searchable::Full, ..other("VARCHAR", XdbcDataType::XdbcVarchar, None, ("'", "'")) },
    SqlType { subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeYear), ..other("DATE", XdbcDataType::XdbcDate, Some(10), ("DATE '", "'")) },
    SqlType { subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTime), ..other("TIME", XdbcDataType::XdbcTime, Some(18), ("TIME '", "'")) },
    SqlType {
        subcode: Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        ..other("TIMESTAMP", XdbcDataType::XdbcTimestamp, Some(29), ("TIMESTAMP '", "'"))
    },
];

impl SqlType {
    fn info(&self) -> XdbcTypeInfo {
        let is_time = self.subcode.is_some();
        XdbcTypeInfo {
            type_name: self.name.to_owned(),
            data_type: self.code,
            column_size: self.size,
            literal_prefix: self.literal.map(|(prefix, _)| prefix.to_owned()),
            literal_suffix: self.literal.map(|(_, suffix)| suffix.to_owned()),
            create_params: (!self.parameters.is_empty()).then(|| self.parameters.iter().map(|&name| name.to_owned()).collect()),
            nullable: Nullable::NullabilityNullable,
            case_sensitive: self.code == XdbcDataType::XdbcVarchar,
            searchable: self.searchable,
            unsigned_attribute: self.number.map(|_| false),
            fixed_prec_scale: false,
            auto_increment: self.number.map(|_| false),
            local_type_name: Some(self.name.to_owned()),
            minimum_scale: self.number.map(|_| 0),
            maximum_scale: self.number.map(|number| number.scale_max),
            // ODBC's non-verbose code: one for all dates and times, told apart by the subcode.
            sql_data_type: if is_time { XdbcDataType::XdbcDatetime } else { self.code },
            datetime_subcode: self.subcode,
            num_prec_radix: self.number.map(|number| number.radix),
            interval_precision: None,
        }
    }
}

static DATA: LazyLock<Result<XdbcTypeInfoData, String>> = LazyLock::new(|| {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    for sql_type in TYPES {
        builder.append(sql_type.info());
    }
    builder.build().map_err(|error| error.to_string())
});

/// The columns of the answer.
pub fn answer_schema() -> SchemaRef {
    XdbcTypeInfoDataBuilder::new().schema()
}

/// All types, or those of one code.
pub fn answer(code: Option<i32>) -> Result<RecordBatch> {
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("could not list types: {error}"));
    DATA.as_ref().map_err(|error| failed(error))?.record_batch(code).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::types;
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{DataType, TimeUnit};

    #[test]
    fn a_code_selects_its_types_and_an_unknown_one_none() {
        assert_eq!(answer(Some(4_711)).unwrap().num_rows(), 0);
        let integers = answer(Some(XdbcDataType::XdbcInteger as i32)).unwrap();
        assert_eq!(integers.column(0).as_string::<i32>().value(0), "INTEGER");
        assert_eq!(integers.num_rows(), 1);
        assert_eq!(answer(None).unwrap().num_rows(), TYPES.len());
    }

    #[test]
    fn sorted_by_code() {
        assert!(TYPES.windows(2).all(|pair| (pair[0].code as i32) < pair[1].code as i32));
    }

    /// The name in column metadata must be found in this list, with the digits that the metadata says.
    #[test]
    fn every_scalar_type_of_a_column_is_listed() {
        for data_type in [
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
            DataType::Decimal128(38, 2),
            DataType::Utf8,
            DataType::Binary,
            DataType::Date32,
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Timestamp(TimeUnit::Nanosecond, None),
        ] {
            let name = types::client_name(&data_type);
            assert!(TYPES.iter().any(|sql_type| sql_type.name == name), "{name}");
        }
    }
}
