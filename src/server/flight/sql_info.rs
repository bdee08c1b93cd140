//! What the server can do, by id: the table behind GetSqlInfo.
//!
//! The kind of a value is binding: ODBC reads the union child that belongs to the id, JDBC casts to it. So
//! 503, 505, 507 and 562 are 64-bit although the protocol's text calls them ordinals. Ids outside the enum
//! make JDBC fail, a missing id makes old JDBC drivers fail: the table has every id of the enum, but for
//! those of features that are absent.

use crate::error::{Error, Result};
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder};
use arrow_flight::sql::{
    SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity, SqlSupportedGroupBy,
    SqlSupportedResultSetConcurrency, SqlSupportedResultSetType, SqlSupportedSubqueries, SqlSupportedTransaction, SqlSupportedUnions,
    SqlSupportsConvert, SqlTransactionIsolationLevel, SupportedSqlGrammar,
};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use weir_functions::{DATE_FUNCTIONS, NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS};

/// A value with the union child it is sent in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Text(&'static str),
    Flag(bool),
    /// 64-bit: limits (0 is "none or unknown") and the ordinals that drivers read as 64-bit.
    Number(i64),
    /// 32-bit: bit masks, and the transaction support.
    Bits(i32),
    List(&'static [&'static str]),
    /// The same, from the tables of `weir_functions`.
    Functions(&'static &'static [&'static str]),
    /// From which type to which types CONVERT goes.
    Convert(&'static [(SqlSupportsConvert, &'static [SqlSupportsConvert])]),
}

use SqlInfo as Id;
use SqlSupportsConvert as To;
use Value::{Bits, Convert, Flag, Functions, List, Number, Text};

const fn bit(ordinal: i32) -> i32 {
    1 << ordinal
}

/// `SupportedAnsi92SqlGrammarLevel`, which arrow-flight does not export: entry 0, intermediate 1, full 2.
const ANSI92_ALL_LEVELS: i32 = bit(0) | bit(1) | bit(2);

const FORWARD_ONLY: i32 = bit(SqlSupportedResultSetType::SqlResultSetTypeForwardOnly as i32);
const READ_ONLY: i32 = bit(SqlSupportedResultSetConcurrency::SqlResultSetConcurrencyReadOnly as i32);

/// What a cast takes and gives. Binary values only become text and back.
const NUMBERS: &[To] = &[
    To::SqlConvertBigint,
    To::SqlConvertBit,
    To::SqlConvertChar,
    To::SqlConvertDecimal,
    To::SqlConvertFloat,
    To::SqlConvertInteger,
    To::SqlConvertNumeric,
    To::SqlConvertReal,
    To::SqlConvertSmallint,
    To::SqlConvertTinyint,
    To::SqlConvertVarchar,
];
const FROM_TEXT: &[To] = &[
    To::SqlConvertBigint,
    To::SqlConvertBit,
    To::SqlConvertChar,
    To::SqlConvertDate,
    To::SqlConvertDecimal,
    To::SqlConvertFloat,
    To::SqlConvertInteger,
    To::SqlConvertNumeric,
    To::SqlConvertReal,
    To::SqlConvertSmallint,
    To::SqlConvertTime,
    To::SqlConvertTimestamp,
    To::SqlConvertTinyint,
    To::SqlConvertVarbinary,
    To::SqlConvertVarchar,
];
const CONVERT: &[(To, &[To])] = &[
    (To::SqlConvertBigint, NUMBERS),
    (To::SqlConvertBit, NUMBERS),
    (To::SqlConvertChar, FROM_TEXT),
    (To::SqlConvertDate, &[To::SqlConvertChar, To::SqlConvertDate, To::SqlConvertTimestamp, To::SqlConvertVarchar]),
    (To::SqlConvertDecimal, NUMBERS),
    (To::SqlConvertFloat, NUMBERS),
    (To::SqlConvertInteger, NUMBERS),
    (To::SqlConvertNumeric, NUMBERS),
    (To::SqlConvertReal, NUMBERS),
    (To::SqlConvertSmallint, NUMBERS),
    (To::SqlConvertTime, &[To::SqlConvertChar, To::SqlConvertTime, To::SqlConvertVarchar]),
    (
        To::SqlConvertTimestamp,
        &[To::SqlConvertChar, To::SqlConvertDate, To::SqlConvertTime, To::SqlConvertTimestamp, To::SqlConvertVarchar],
    ),
    (To::SqlConvertTinyint, NUMBERS),
    (To::SqlConvertVarbinary, &[To::SqlConvertVarbinary]),
    (To::SqlConvertVarchar, FROM_TEXT),
];

/// Words of ours that are not in SQL:2003, which JDBC clients must quote.
const KEYWORDS: &[&str] = &[
    "ANALYZE",
    "COPY",
    "DATABASE",
    "DATABASES",
    "DESCRIBE",
    "EXPLAIN",
    "EXTERNAL",
    "ILIKE",
    "KILL",
    "LIMIT",
    "LOCATION",
    "MODEL",
    "MSCK",
    "OFFSET",
    "OVERWRITE",
    "PARTITIONED",
    "QUALIFY",
    "REFRESH",
    "REPAIR",
    "SECRET",
    "SHOW",
    "STORED",
    "TBLPROPERTIES",
    "USE",
];

/// Every feature, sorted by id.
static INFOS: &[(SqlInfo, Value)] = &[
    (Id::FlightSqlServerName, Text("weir")),
    (Id::FlightSqlServerVersion, Text(env!("CARGO_PKG_VERSION"))),
    (Id::FlightSqlServerArrowVersion, Text("1.3.0")),
    (Id::FlightSqlServerReadOnly, Flag(false)),
    (Id::FlightSqlServerSql, Flag(true)),
    (Id::FlightSqlServerSubstrait, Flag(false)),
    (Id::FlightSqlServerTransaction, Bits(SqlSupportedTransaction::None as i32)),
    (Id::FlightSqlServerCancel, Flag(true)),
    (Id::FlightSqlServerBulkIngestion, Flag(true)),
    (Id::FlightSqlServerIngestTransactionsSupported, Flag(false)),
    (Id::FlightSqlServerStatementTimeout, Bits(0)),
    (Id::FlightSqlServerTransactionTimeout, Bits(0)),
    (Id::SqlDdlCatalog, Flag(false)),
    (Id::SqlDdlSchema, Flag(true)),
    (Id::SqlDdlTable, Flag(true)),
    (Id::SqlIdentifierCase, Number(SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64)),
    (Id::SqlIdentifierQuoteChar, Text("\"")),
    (Id::SqlQuotedIdentifierCase, Number(SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i64)),
    (Id::SqlAllTablesAreSelectable, Flag(true)),
    (Id::SqlNullOrdering, Number(SqlNullOrdering::SqlNullsSortedHigh as i64)),
    (Id::SqlKeywords, List(KEYWORDS)),
    (Id::SqlNumericFunctions, Functions(&NUMERIC_FUNCTIONS)),
    (Id::SqlStringFunctions, Functions(&STRING_FUNCTIONS)),
    (Id::SqlSystemFunctions, Functions(&SYSTEM_FUNCTIONS)),
    (Id::SqlDatetimeFunctions, Functions(&DATE_FUNCTIONS)),
    (Id::SqlSearchStringEscape, Text("\\")),
    (Id::SqlExtraNameCharacters, Text("")),
    (Id::SqlSupportsColumnAliasing, Flag(true)),
    (Id::SqlNullPlusNullIsNull, Flag(true)),
    (Id::SqlSupportsConvert, Convert(CONVERT)),
    (Id::SqlSupportsTableCorrelationNames, Flag(true)),
    (Id::SqlSupportsDifferentTableCorrelationNames, Flag(false)),
    (Id::SqlSupportsExpressionsInOrderBy, Flag(true)),
    (Id::SqlSupportsOrderByUnrelated, Flag(true)),
    (
        Id::SqlSupportedGroupBy,
        Bits(bit(SqlSupportedGroupBy::SqlGroupByUnrelated as i32) | bit(SqlSupportedGroupBy::SqlGroupByBeyondSelect as i32)),
    ),
    (Id::SqlSupportsLikeEscapeClause, Flag(true)),
    (Id::SqlSupportsNonNullableColumns, Flag(true)),
    (
        Id::SqlSupportedGrammar,
        Bits(
            bit(SupportedSqlGrammar::SqlMinimumGrammar as i32)
                | bit(SupportedSqlGrammar::SqlCoreGrammar as i32)
                | bit(SupportedSqlGrammar::SqlExtendedGrammar as i32),
        ),
    ),
    (Id::SqlAnsi92SupportedLevel, Bits(ANSI92_ALL_LEVELS)),
    (Id::SqlSupportsIntegrityEnhancementFacility, Flag(false)),
    (
        Id::SqlOuterJoinsSupportLevel,
        Bits(bit(SqlOuterJoinsSupportLevel::SqlLimitedOuterJoins as i32) | bit(SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32)),
    ),
    (Id::SqlSchemaTerm, Text("schema")),
    (Id::SqlProcedureTerm, Text("procedure")),
    (Id::SqlCatalogTerm, Text("catalog")),
    (Id::SqlCatalogAtStart, Flag(true)),
    (Id::SqlSchemasSupportedActions, Bits(0)),
    (Id::SqlCatalogsSupportedActions, Bits(0)),
    (Id::SqlSupportedPositionedCommands, Bits(0)),
    (Id::SqlSelectForUpdateSupported, Flag(false)),
    (Id::SqlStoredProceduresSupported, Flag(false)),
    (
        Id::SqlSupportedSubqueries,
        Bits(
            bit(SqlSupportedSubqueries::SqlSubqueriesInComparisons as i32)
                | bit(SqlSupportedSubqueries::SqlSubqueriesInExists as i32)
                | bit(SqlSupportedSubqueries::SqlSubqueriesInIns as i32),
        ),
    ),
    (Id::SqlCorrelatedSubqueriesSupported, Flag(true)),
    (Id::SqlSupportedUnions, Bits(bit(SqlSupportedUnions::SqlUnion as i32) | bit(SqlSupportedUnions::SqlUnionAll as i32))),
    (Id::SqlMaxBinaryLiteralLength, Number(0)),
    (Id::SqlMaxCharLiteralLength, Number(0)),
    (Id::SqlMaxColumnNameLength, Number(0)),
    (Id::SqlMaxColumnsInGroupBy, Number(0)),
    (Id::SqlMaxColumnsInIndex, Number(0)),
    (Id::SqlMaxColumnsInOrderBy, Number(0)),
    (Id::SqlMaxColumnsInSelect, Number(0)),
    (Id::SqlMaxColumnsInTable, Number(0)),
    (Id::SqlMaxConnections, Number(0)),
    (Id::SqlMaxCursorNameLength, Number(0)),
    (Id::SqlMaxIndexLength, Number(0)),
    (Id::SqlDbSchemaNameLength, Number(0)),
    (Id::SqlMaxProcedureNameLength, Number(0)),
    (Id::SqlMaxCatalogNameLength, Number(0)),
    (Id::SqlMaxRowSize, Number(0)),
    (Id::SqlMaxRowSizeIncludesBlobs, Flag(true)),
    (Id::SqlMaxStatementLength, Number(0)),
    (Id::SqlMaxStatements, Number(0)),
    (Id::SqlMaxTableNameLength, Number(0)),
    (Id::SqlMaxTablesInSelect, Number(0)),
    (Id::SqlMaxUsernameLength, Number(0)),
    (Id::SqlDefaultTransactionIsolation, Number(SqlTransactionIsolationLevel::SqlTransactionNone as i64)),
    (Id::SqlTransactionsSupported, Flag(false)),
    (Id::SqlSupportedTransactionsIsolationLevels, Bits(bit(SqlTransactionIsolationLevel::SqlTransactionNone as i32))),
    (Id::SqlDataDefinitionCausesTransactionCommit, Flag(true)),
    (Id::SqlDataDefinitionsInTransactionsIgnored, Flag(false)),
    (Id::SqlSupportedResultSetTypes, Bits(FORWARD_ONLY)),
    (Id::SqlSupportedConcurrenciesForResultSetUnspecified, Bits(READ_ONLY)),
    (Id::SqlSupportedConcurrenciesForResultSetForwardOnly, Bits(READ_ONLY)),
    (Id::SqlSupportedConcurrenciesForResultSetScrollSensitive, Bits(0)),
    (Id::SqlSupportedConcurrenciesForResultSetScrollInsensitive, Bits(0)),
    (Id::SqlBatchUpdatesSupported, Flag(true)),
    (Id::SqlSavepointsSupported, Flag(false)),
    (Id::SqlNamedParametersSupported, Flag(false)),
    (Id::SqlLocatorsUpdateCopy, Flag(false)),
    (Id::SqlStoredFunctionsUsingCallSyntaxSupported, Flag(false)),
];

static DATA: LazyLock<Result<SqlInfoData, String>> = LazyLock::new(|| {
    let mut builder = SqlInfoDataBuilder::new();
    for (id, value) in INFOS {
        match *value {
            Text(text) => builder.append(*id, text),
            Flag(flag) => builder.append(*id, flag),
            Number(number) => builder.append(*id, number),
            Bits(bits) => builder.append(*id, bits),
            List(words) => builder.append(*id, words),
            Functions(names) => builder.append(*id, *names),
            Convert(matrix) => {
                let matrix: BTreeMap<i32, Vec<i32>> =
                    matrix.iter().map(|(from, to)| (*from as i32, to.iter().map(|to| *to as i32).collect())).collect();
                builder.append(*id, matrix);
            }
        }
    }
    builder.build().map_err(|error| error.to_string())
});

/// The columns of the answer.
pub fn answer_schema() -> SchemaRef {
    Arc::new(SqlInfoDataBuilder::schema().clone())
}

/// The features asked for; all of them when no id is given.
pub fn answer(ids: &[u32]) -> Result<RecordBatch> {
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("could not list server features: {error}"));
    let data = DATA.as_ref().map_err(|error| failed(error))?;
    // Each id is one pass over the table: those that we do not have, and repetitions, need none.
    let known: BTreeSet<u32> = ids.iter().copied().filter(|id| INFOS.iter().any(|(info, _)| *info as u32 == *id)).collect();
    if known.is_empty() && !ids.is_empty() {
        return Ok(RecordBatch::new_empty(answer_schema()));
    }
    data.record_batch(known).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{AsArray, UnionArray};
    use datafusion::arrow::datatypes::UInt32Type;

    /// The union child that drivers read for an id: string 0, bool 1, int64 2, int32 3, list 4, map 5.
    fn expected_child(id: u32) -> i8 {
        match id {
            0..=2 | 6 | 7 | 504 | 513 | 514 | 529..=531 => 0,
            3..=5
            | 9..=11
            | 500..=502
            | 506
            | 515
            | 516
            | 518..=521
            | 523
            | 524
            | 527
            | 532
            | 536
            | 537
            | 539
            | 556
            | 563
            | 565
            | 566
            | 572..=576 => 1,
            503 | 505 | 507 | 541..=555 | 557..=562 => 2,
            8 | 100 | 101 | 522 | 525 | 526 | 528 | 533..=535 | 538 | 540 | 564 | 567..=571 => 3,
            508..=512 => 4,
            517 => 5,
            _ => panic!("{id} is not in the enum: JDBC would fail"),
        }
    }

    fn values(batch: &RecordBatch) -> (Vec<u32>, UnionArray) {
        let ids = batch.column(0).as_primitive::<UInt32Type>().values().to_vec();
        (ids, batch.column(1).as_union().clone())
    }

    #[test]
    fn every_value_is_in_the_child_that_drivers_read() {
        let (ids, union) = values(&answer(&[]).unwrap());
        assert_eq!(ids.len(), INFOS.len());
        for (row, id) in ids.iter().enumerate() {
            assert_eq!(union.type_id(row), expected_child(*id), "id {id}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(INFOS.windows(2).all(|pair| (pair[0].0 as u32) < pair[1].0 as u32));
        let absent: Vec<u32> =
            (0..=11).chain(100..=101).chain(500..=576).filter(|id| !INFOS.iter().any(|(info, _)| *info as u32 == *id)).collect();
        // Versions of Substrait, which is absent.
        assert_eq!(absent, [6, 7]);
    }

    #[test]
    fn ids_select_rows() {
        assert_eq!(answer(&[9_999]).unwrap().num_rows(), 0);
        assert_eq!(answer(&vec![8; 100_000]).unwrap().num_rows(), 1);
        assert_eq!(values(&answer(&[507, 0, 9_999, 8]).unwrap()).0, [0, 8, 507]);
    }

    #[test]
    fn values_that_decide_how_bi_tools_write_sql() {
        let bits = |id: SqlInfo| INFOS.iter().find(|(info, _)| *info == id).map(|(_, value)| *value);
        assert_eq!(bits(Id::SqlAnsi92SupportedLevel), Some(Bits(7)));
        assert_eq!(bits(Id::SqlOuterJoinsSupportLevel), Some(Bits(6)));
        assert_eq!(bits(Id::SqlCatalogTerm), Some(Text("catalog")));
        assert_eq!(bits(Id::FlightSqlServerTransaction), Some(Bits(0)));
    }
}
