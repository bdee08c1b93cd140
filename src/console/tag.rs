//! What is printed for a statement without rows: its command tag, as psql shows it.

/// The tag of a statement: its leading words, and the count of rows where rows were written.
pub fn tag(sql: &str, count: i64) -> String {
    let words = leading_words(sql);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["INSERT", ..] => format!("INSERT 0 {}", count.max(0)),
        ["COPY", ..] => format!("COPY {}", count.max(0)),
        ["DELETE" | "UPDATE" | "MERGE", ..] => format!("{} {}", words[0], count.max(0)),
        // CREATE TABLE .. AS: the rows count.
        ["CREATE", rest @ ..] if count > 0 && kind(rest).is_some_and(|kind| kind == "TABLE") => format!("SELECT {count}"),
        [verb @ ("CREATE" | "DROP" | "ALTER"), rest @ ..] => match kind(rest) {
            Some(kind) => format!("{verb} {kind}"),
            None => (*verb).to_owned(),
        },
        ["MSCK", ..] => "MSCK REPAIR TABLE".to_owned(),
        ["TRUNCATE", ..] => "TRUNCATE TABLE".to_owned(),
        [verb @ ("KILL" | "REFRESH" | "ANALYZE" | "OPTIMIZE" | "VACUUM"), object, ..] => format!("{verb} {object}"),
        ["START" | "BEGIN", ..] => "BEGIN".to_owned(),
        ["END" | "COMMIT", ..] => "COMMIT".to_owned(),
        [verb, ..] => (*verb).to_owned(),
        [] => "OK".to_owned(),
    }
}

/// The kind of object behind CREATE, DROP and ALTER: adjectives are passed over.
fn kind(words: &[&str]) -> Option<String> {
    let mut kinds =
        words.iter().skip_while(|word| matches!(**word, "OR" | "REPLACE" | "TEMPORARY" | "TEMP" | "GLOBAL" | "LOCAL" | "EXTERNAL"));
    let first = *kinds.next()?;
    match first {
        "SCHEMA" => Some("DATABASE".to_owned()),
        "STREAMING" | "MATERIALIZED" => kinds.next().map(|second| format!("{first} {second}")),
        _ => Some(first.to_owned()),
    }
}

/// The first words in upper case; comments and blanks before and between them are passed over.
fn leading_words(sql: &str) -> Vec<String> {
    const WORDS_MAX: usize = 8;
    let mut words = Vec::new();
    let mut rest = sql.trim_start();
    while words.len() < WORDS_MAX {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after).trim_start();
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after).trim_start();
        } else {
            let end = rest.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            words.push(rest[..end].to_ascii_uppercase());
            rest = rest[end..].trim_start();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_psql() {
        for (sql, count, expected) in [
            ("", 0, "OK"),
            ("(", -1, "OK"),
            ("insert into t values (1), (2), (3)", 3, "INSERT 0 3"),
            ("INSERT OVERWRITE TABLE t SELECT 1", -1, "INSERT 0 0"),
            ("COPY (SELECT 1) TO 'f.csv'", 1, "COPY 1"),
            ("CREATE TABLE t (a INT)", 0, "CREATE TABLE"),
            ("create or replace external table t (a INT)", 0, "CREATE TABLE"),
            ("CREATE TABLE t AS SELECT 1", 7, "SELECT 7"),
            ("CREATE TEMPORARY VIEW v AS SELECT 1", 0, "CREATE VIEW"),
            ("CREATE OR REPLACE MODEL m OPTIONS (a=1) AS SELECT 1", 12, "CREATE MODEL"),
            ("CREATE SCHEMA IF NOT EXISTS s", 0, "CREATE DATABASE"),
            ("CREATE MATERIALIZED VIEW v AS SELECT 1", 0, "CREATE MATERIALIZED VIEW"),
            ("DROP TABLE IF EXISTS t", 0, "DROP TABLE"),
            ("ALTER TABLE t RENAME TO u", 0, "ALTER TABLE"),
            ("ALTER USER u PASSWORD 'x'", 0, "ALTER USER"),
            ("-- a comment\n/* and */ SET a = 1", 0, "SET"),
            ("USE lake", 0, "USE"),
            ("MSCK REPAIR TABLE t", 0, "MSCK REPAIR TABLE"),
            ("REFRESH TABLE t", 0, "REFRESH TABLE"),
            ("KILL QUERY 'x'", 0, "KILL QUERY"),
            ("BEGIN TRANSACTION", 0, "BEGIN"),
            ("DELETE FROM t", 4, "DELETE 4"),
            ("TRUNCATE t", 0, "TRUNCATE TABLE"),
        ] {
            assert_eq!(tag(sql, count), expected, "{sql}");
        }
    }
}
