//! The functions that a client is told about (`SqlInfo`), by ODBC's names. Exactly these run: a test calls each, in `{fn ..}` too.
//! POSITION and EXTRACT run, but not inside `{fn ..}`, so they are not named.

/// SqlInfo 509, ODBC `SQL_NUMERIC_FUNCTIONS`.
pub static NUMERIC_FUNCTIONS: &[&str] = &[
    "ABS", "ACOS", "ASIN", "ATAN", "ATAN2", "CEILING", "COS", "COT", "DEGREES", "EXP", "FLOOR", "LOG", "LOG10", "MOD", "PI", "POWER",
    "RADIANS", "RAND", "ROUND", "SIGN", "SIN", "SQRT", "TAN", "TRUNCATE",
];

/// SqlInfo 510, ODBC `SQL_STRING_FUNCTIONS`.
pub static STRING_FUNCTIONS: &[&str] = &[
    "ASCII",
    "BIT_LENGTH",
    "CHAR",
    "CHAR_LENGTH",
    "CHARACTER_LENGTH",
    "CONCAT",
    "INSERT",
    "LCASE",
    "LEFT",
    "LENGTH",
    "LOCATE",
    "LTRIM",
    "OCTET_LENGTH",
    "REPEAT",
    "REPLACE",
    "RIGHT",
    "RTRIM",
    "SPACE",
    "SUBSTRING",
    "UCASE",
];

/// SqlInfo 511, ODBC `SQL_SYSTEM_FUNCTIONS`; CONVERT is made a CAST by the parser.
pub static SYSTEM_FUNCTIONS: &[&str] = &["CONVERT", "DATABASE", "IFNULL", "USER"];

/// SqlInfo 512, ODBC `SQL_TIMEDATE_FUNCTIONS`.
pub static DATE_FUNCTIONS: &[&str] = &[
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "CURDATE",
    "CURTIME",
    "DAYNAME",
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFYEAR",
    "HOUR",
    "MINUTE",
    "MONTH",
    "MONTHNAME",
    "NOW",
    "QUARTER",
    "SECOND",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "WEEK",
    "YEAR",
];
