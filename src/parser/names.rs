//! Names as text.

use sqlparser::keywords::{ALL_KEYWORDS, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER, RESERVED_FOR_TABLE_ALIAS};

/// Quotes a name where SQL needs it.
///
/// A plain word of lower or upper case needs no quotes: matching ignores case, and case is kept.
pub fn quote_name(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !is_reserved(name);
    if plain { name.into() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Words that cannot stand as a name without quotes everywhere.
fn is_reserved(name: &str) -> bool {
    const ALSO: &[&str] = &[
        "ALL",
        "AND",
        "ANY",
        "ARRAY",
        "CASE",
        "CAST",
        "CREATE",
        "CUBE",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "CURRENT_TIMESTAMP",
        "DATE",
        "DEFAULT",
        "DISTINCT",
        "ELSE",
        "EXISTS",
        "FALSE",
        "IF",
        "IN",
        "INSERT",
        "IS",
        "LIKE",
        "MAP",
        "ML",
        "MODEL",
        "NOT",
        "NULL",
        "OR",
        "PRIMARY",
        "ROLLUP",
        "SOME",
        "STREAM",
        "STRUCT",
        "TABLE",
        "THEN",
        "TIME",
        "TIMESTAMP",
        "TOP",
        "TRUE",
        "UNNEST",
        "WHEN",
    ];
    let upper = name.to_ascii_uppercase();
    if ALSO.contains(&upper.as_str()) {
        return true;
    }
    let Ok(idx) = ALL_KEYWORDS.binary_search(&upper.as_str()) else { return false };
    let keyword = sqlparser::keywords::ALL_KEYWORDS_INDEX[idx];
    [RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS, RESERVED_FOR_IDENTIFIER].iter().any(|list| list.contains(&keyword))
}
