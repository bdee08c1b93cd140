//! The syntax of statements, for `\h`.

use crate::error::{Code, Error, Result};

/// The syntax of one statement.
pub struct Topic {
    /// Upper case, as typed behind `\h`.
    pub name: &'static str,
    /// A fragment.
    pub help: &'static str,
    pub syntax: &'static str,
}

const fn topic(name: &'static str, help: &'static str, syntax: &'static str) -> Topic {
    Topic { name, help, syntax }
}

/// All statements, by name.
pub static TOPICS: &[Topic] = &[
    topic("ALTER MODEL", "choose the version of a model that answers", "ALTER MODEL name SET DEFAULT VERSION number"),
    topic(
        "ALTER TABLE",
        "change a table",
        "ALTER TABLE name ADD COLUMNS (column type [COMMENT 'text'] [, ..])
ALTER TABLE name RENAME TO new_name
ALTER TABLE name ADD [IF NOT EXISTS] PARTITION (column = value [, ..]) [LOCATION 'path'] [..]
ALTER TABLE name DROP [IF EXISTS] PARTITION (column = value [, ..]) [, ..]
ALTER TABLE name SET TBLPROPERTIES ('key' = 'value' [, ..])",
    ),
    topic("ALTER USER", "change a user", "ALTER USER name [PASSWORD 'text'] [ADMIN | NOADMIN]"),
    topic("ANALYZE TABLE", "collect statistics", "ANALYZE TABLE name COMPUTE STATISTICS"),
    topic(
        "COPY",
        "write rows to files",
        "COPY { table | (query) } TO 'path'
  [STORED AS { PARQUET | CSV | JSON }]
  [PARTITIONED BY (column [, ..])]
  [OPTIONS (key 'value' [, ..])]",
    ),
    topic("CREATE DATABASE", "make a database", "CREATE DATABASE [IF NOT EXISTS] name [COMMENT 'text'] [LOCATION 'path']"),
    topic(
        "CREATE EXTERNAL TABLE",
        "make a table over files that are there, or will be",
        "CREATE EXTERNAL TABLE [IF NOT EXISTS] name [(column type [COMMENT 'text'] [, ..])]
  [COMMENT 'text']
  [PARTITIONED BY (column type [, ..])]
  [ROW FORMAT DELIMITED [FIELDS TERMINATED BY 'c'] [NULL DEFINED AS 'text'] ..]
  STORED AS { PARQUET | CSV | TEXTFILE | JSON }
  LOCATION 'path'
  [OPTIONS (key 'value' [, ..])]
  [TBLPROPERTIES ('key' = 'value' [, ..])]",
    ),
    topic(
        "CREATE MODEL",
        "train a model on the rows of a query",
        "CREATE [OR REPLACE] MODEL [IF NOT EXISTS] name
OPTIONS (model_type = 'matrix_factorization',
  user_col = 'column', item_col = 'column', rating_col = 'column'
  [, num_factors = n] [, regParam = x] [, max_iterations = n] [, nonnegative = TRUE] [, seed = n] [, ..])
AS query",
    ),
    topic(
        "CREATE SECRET",
        "name a secret that lies outside",
        "CREATE [OR REPLACE] SECRET [IF NOT EXISTS] name FROM { ENV 'NAME' | FILE 'path' }",
    ),
    topic(
        "CREATE TABLE",
        "make a table that the server keeps",
        "CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name (column type [NOT NULL] [COMMENT 'text'] [, ..])
  [COMMENT 'text'] [PARTITIONED BY (column [, ..])]
CREATE [OR REPLACE] TABLE [IF NOT EXISTS] name [PARTITIONED BY (column [, ..])] AS query",
    ),
    topic("CREATE USER", "make a user", "CREATE USER [IF NOT EXISTS] name PASSWORD 'text' [ADMIN]"),
    topic("CREATE VIEW", "name a query", "CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(column [, ..])] [COMMENT 'text'] AS query"),
    topic(
        "DESCRIBE",
        "show columns and details",
        "DESCRIBE [FORMATTED] { table | view | query }\nDESCRIBE MODEL name\nDESCRIBE DATABASE name",
    ),
    topic("DROP DATABASE", "remove a database", "DROP DATABASE [IF EXISTS] name [CASCADE]"),
    topic("DROP MODEL", "remove a model", "DROP MODEL [IF EXISTS] name"),
    topic("DROP SECRET", "remove a secret", "DROP SECRET [IF EXISTS] name"),
    topic("DROP TABLE", "remove a table; the files of an external one stay", "DROP TABLE [IF EXISTS] name"),
    topic("DROP USER", "remove a user", "DROP USER [IF EXISTS] name"),
    topic("DROP VIEW", "remove a view", "DROP VIEW [IF EXISTS] name"),
    topic("EXPLAIN", "show how a query runs", "EXPLAIN [ANALYZE] [VERBOSE] query"),
    topic(
        "INSERT",
        "add or replace rows",
        "INSERT INTO [TABLE] name [PARTITION (column [= value] [, ..])] [(column [, ..])] { query | VALUES (value [, ..]) [, ..] }
INSERT OVERWRITE [TABLE] name [PARTITION (column [= value] [, ..])] query",
    ),
    topic("KILL QUERY", "cancel a query", "KILL QUERY 'query_id'"),
    topic(
        "ML.EVALUATE",
        "measure a model",
        "SELECT * FROM ML.EVALUATE(MODEL name [, TABLE table | (query)] [, STRUCT(0.3 AS threshold)])
SELECT * FROM ML.CONFUSION_MATRIX(MODEL name [, TABLE table | (query)] [, STRUCT(0.3 AS threshold)])
SELECT * FROM ML.ROC_CURVE(MODEL name [, TABLE table | (query)])",
    ),
    topic(
        "ML.PREDICT",
        "let a model predict rows",
        "SELECT * FROM ML.PREDICT(MODEL name, { TABLE table | (query) } [, STRUCT(0.3 AS threshold)])",
    ),
    topic(
        "ML.RECOMMEND",
        "ask a recommender for many users",
        "SELECT * FROM ML.RECOMMEND(MODEL name [, TABLE table | (query)] [, STRUCT(10 AS top_k, TRUE AS exclude_seen)])
SELECT * FROM recommend('model', user, k)
SELECT als_predict('model', user, item) ..",
    ),
    topic("MSCK REPAIR TABLE", "accepted; partitions are found at query time", "MSCK REPAIR TABLE name"),
    topic("REFRESH TABLE", "look at the files of a table anew", "REFRESH TABLE name"),
    topic("RESET", "give settings their defaults", "RESET { name | ALL }"),
    topic(
        "SELECT",
        "ask for rows",
        "[WITH name AS (query) [, ..]]
SELECT [DISTINCT] { * | expression [[AS] alias] } [, ..]
  [FROM { table | (query) | 'dir/*.parquet' | function(..) } [[AS] alias] [JOIN .. ON ..] [, ..]]
  [WHERE condition]
  [GROUP BY expression [, ..]] [HAVING condition]
  [{ UNION | INTERSECT | EXCEPT } [ALL] query]
  [ORDER BY expression [ASC | DESC] [NULLS { FIRST | LAST }] [, ..]]
  [LIMIT n] [OFFSET n]",
    ),
    topic("SET", "change a setting of the session", "SET name { = | TO } { value | DEFAULT }"),
    topic(
        "SHOW",
        "list objects and settings",
        "SHOW { DATABASES | MODELS | FUNCTIONS } [LIKE 'pattern']
SHOW { TABLES | VIEWS } [IN database] [LIKE 'pattern']
SHOW { COLUMNS | PARTITIONS } { IN | FROM } table
SHOW CREATE { TABLE | VIEW } name
SHOW { USERS | SECRETS | PROCESSLIST }
SHOW { setting | ALL }",
    ),
    topic("USE", "choose the database of the session", "USE database"),
];

/// The text of `\h [STATEMENT]`: all names, or the syntax of those that begin with what was typed.
///
/// # Errors
/// When no statement has that name.
pub fn syntax(typed: &str) -> Result<String> {
    let wanted = typed.trim_end_matches(';').split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase();
    if wanted.is_empty() {
        return Ok(list());
    }
    let exact: Vec<&Topic> = TOPICS.iter().filter(|topic| topic.name == wanted).collect();
    let found = if exact.is_empty() { beginning_with(&wanted) } else { exact };
    if found.is_empty() {
        let names = TOPICS.iter().map(|topic| topic.name);
        let error = Error::unknown(Code::UndefinedObject, format!("there is no help for \"{}\"", typed.trim()), &wanted, names);
        return Err(if error.hint.is_some() { error } else { error.hint("\\h shows all statements.") });
    }
    let texts: Vec<String> = found.iter().map(|topic| format!("{}: {}\n\n{}\n", topic.name, topic.help, indented(topic.syntax))).collect();
    Ok(texts.join("\n"))
}

/// Topics whose name begins with these words; `SHOW TABLES` finds SHOW, `SELECT x` finds SELECT.
fn beginning_with(wanted: &str) -> Vec<&'static Topic> {
    let is_word_prefix = |long: &str, short: &str| long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
    let wider: Vec<&Topic> = TOPICS.iter().filter(|topic| is_word_prefix(topic.name, wanted)).collect();
    if wider.is_empty() { TOPICS.iter().filter(|topic| is_word_prefix(wanted, topic.name)).collect() } else { wider }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn list() -> String {
    let width = TOPICS.iter().map(|topic| topic.name.len()).max().unwrap_or(0);
    let lines = TOPICS.iter().map(|topic| format!("  {:<width$}  {}\n", topic.name, topic.help));
    std::iter::once("Statements; \\h NAME shows the syntax\n".to_owned()).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_sorted_unique_and_explained() {
        for pair in TOPICS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} stands before {}", pair[0].name, pair[1].name);
        }
        for topic in TOPICS {
            assert!(!topic.help.is_empty() && !topic.help.ends_with('.'), "{}: help is a fragment", topic.name);
            let first = topic.name.split(' ').next().unwrap();
            assert!(topic.syntax.contains(first), "{}", topic.name);
        }
    }

    #[test]
    fn help_is_found_by_the_first_words() {
        assert!(syntax("").unwrap().contains("CREATE MODEL"));
        assert!(syntax("create table;").unwrap().starts_with("CREATE TABLE: make a table that the server keeps\n\n  CREATE"));
        assert_eq!(syntax("drop").unwrap().matches("remove a").count(), 6);
        assert!(syntax("show tables").unwrap().starts_with("SHOW:"));
        let error = syntax("CREATE TABEL").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"CREATE TABLE\"?"));
        assert_eq!(syntax("fly").unwrap_err().hint.as_deref(), Some("\\h shows all statements."));
    }
}
