//! The syntax of statements, for `\h` and `docs/reference/statements.md`.

use crate::error::{Code, Error, Result};

/// The syntax of one statement.
pub struct Topic {
    /// Upper case, as typed behind `\h`.
    pub name: &'static str,
    /// A fragment.
    pub help: &'static str,
    /// Lines; what may be left out stands in brackets.
    pub syntax: &'static str,
}

const fn topic(name: &'static str, help: &'static str, syntax: &'static str) -> Topic {
    Topic { name, help, syntax }
}

/// All statements, by name.
pub static TOPICS: &[Topic] = &[
    topic(
        "ALTER MODEL",
        "choose the version of a model that answers, or another name",
        "ALTER MODEL name SET DEFAULT VERSION number\nALTER MODEL name RENAME TO new_name",
    ),
    topic(
        "ALTER STREAMING TABLE",
        "stop a stream, let it go on, or move it",
        "ALTER STREAMING TABLE name { PAUSE | RESUME }
ALTER STREAMING TABLE name SEEK TO { EARLIEST | LATEST | TIMESTAMP 'time' | OFFSETS ('partition:offset, ..') }
ALTER STREAMING TABLE name RENAME TO new_name",
    ),
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
    topic("BEGIN", "accepted; each statement commits by itself", "BEGIN [TRANSACTION] [..]\nCOMMIT\nROLLBACK"),
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
  STORED AS { PARQUET | CSV | TEXTFILE | JSON | DELTA }
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
        "CREATE STREAMING TABLE",
        "make a table that a Kafka topic feeds",
        "CREATE [OR REPLACE] STREAMING TABLE [IF NOT EXISTS] name
  { ( { column type [METADATA [FROM 'field']] | WATERMARK FOR column AS column [- INTERVAL 'n' unit] } [, ..] )
    [INCLUDE { topic | partition | offset | timestamp | key | headers } [AS column]] ..
  | INFER FROM TOPIC [(SAMPLE n)] }
  [FORMAT PLAIN ENCODE { JSON | CSV | BYTES | AVRO }] [COMMENT 'text'] [PARTITIONED BY (column [, ..])]
  [STORED AS PARQUET LOCATION 'path']
WITH ('connector' = 'kafka', 'topic' = 'name', 'properties.bootstrap.servers' = 'host:port', 'format' = 'json' [, ..])",
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
    topic("DELETE", "remove rows", "DELETE FROM name [[AS] alias] [WHERE condition]"),
    topic(
        "DESCRIBE",
        "show columns and details",
        "DESCRIBE [FORMATTED] { table | view | query }\nDESCRIBE MODEL name\nDESCRIBE DATABASE name",
    ),
    topic("DROP DATABASE", "remove a database", "DROP DATABASE [IF EXISTS] name [CASCADE]"),
    topic("DROP MODEL", "remove a model", "DROP MODEL [IF EXISTS] name"),
    topic("DROP SECRET", "remove a secret", "DROP SECRET [IF EXISTS] name"),
    topic("DROP STREAMING TABLE", "remove a streaming table; the topic stays", "DROP STREAMING TABLE [IF EXISTS] name"),
    topic("DROP TABLE", "remove a table; the files of an external one stay", "DROP TABLE [IF EXISTS] name"),
    topic("DROP USER", "remove a user", "DROP USER [IF EXISTS] name"),
    topic("DROP VIEW", "remove a view", "DROP VIEW [IF EXISTS] name"),
    topic("EXPLAIN", "show how a query runs", "EXPLAIN [ANALYZE] [VERBOSE] query"),
    topic("EXPORT MODEL", "write a model as files", "EXPORT MODEL name TO 'path'"),
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
    topic("OPTIMIZE", "merge small files", "OPTIMIZE [TABLE] name"),
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
SHOW CREATE { TABLE | STREAMING TABLE | VIEW } name
SHOW TBLPROPERTIES table
SHOW STREAMS [LIKE 'pattern']
SHOW { USERS | SECRETS | PROCESSLIST }
SHOW { setting | ALL }",
    ),
    topic("TRUNCATE", "remove all rows", "TRUNCATE [TABLE] name"),
    topic("UPDATE", "change rows", "UPDATE name [[AS] alias] SET column = value [, ..] [WHERE condition]"),
    topic("USE", "choose the database of the session", "USE database"),
    topic("VACUUM", "delete files that no query needs any more", "VACUUM [TABLE] name [RETAIN n { HOURS | DAYS }] [DRY RUN]"),
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
    fn every_topic_is_a_statement_that_the_parser_takes() {
        let examples = [
            "ALTER MODEL m SET DEFAULT VERSION 2",
            "ALTER MODEL m RENAME TO n",
            "ALTER STREAMING TABLE t PAUSE",
            "ALTER STREAMING TABLE t SEEK TO OFFSETS ('0:42, 1:300')",
            "ALTER TABLE t RENAME TO u",
            "ALTER USER u PASSWORD 'a-long-password' ADMIN",
            "ANALYZE TABLE t COMPUTE STATISTICS",
            "BEGIN TRANSACTION",
            "COPY t TO 'p' STORED AS CSV",
            "CREATE DATABASE d",
            "CREATE EXTERNAL TABLE t (a INT) STORED AS DELTA LOCATION 'p'",
            "CREATE MODEL m OPTIONS (model_type = 'kmeans') AS SELECT 1",
            "CREATE SECRET s FROM ENV 'NAME'",
            "CREATE STREAMING TABLE t INFER FROM TOPIC (SAMPLE 9) WITH ('topic' = 't')",
            "CREATE STREAMING TABLE t (a TIMESTAMP, o BIGINT METADATA FROM 'offset', WATERMARK FOR a AS a - INTERVAL '5' MINUTE) \
             INCLUDE key AS k FORMAT PLAIN ENCODE JSON PARTITIONED BY (k) STORED AS PARQUET LOCATION 'p' WITH ('topic' = 't')",
            "CREATE TABLE t (a INT NOT NULL)",
            "CREATE USER u PASSWORD 'a-long-password'",
            "CREATE VIEW v AS SELECT 1",
            "DELETE FROM t AS x WHERE x.a = 1",
            "DESCRIBE MODEL m",
            "DROP DATABASE d CASCADE",
            "DROP MODEL m",
            "DROP SECRET s",
            "DROP STREAMING TABLE IF EXISTS t",
            "DROP TABLE t",
            "DROP USER u",
            "DROP VIEW v",
            "EXPLAIN ANALYZE SELECT 1",
            "EXPORT MODEL m TO 'p'",
            "INSERT OVERWRITE t PARTITION (a = 1) SELECT 2",
            "KILL QUERY 'q'",
            "MSCK REPAIR TABLE t",
            "OPTIMIZE TABLE t",
            "REFRESH TABLE t",
            "RESET ALL",
            "SELECT DISTINCT 1 AS a ORDER BY a NULLS LAST LIMIT 1 OFFSET 0",
            "SET a = DEFAULT",
            "SHOW CREATE STREAMING TABLE t",
            "SHOW STREAMS LIKE 'a%'",
            "TRUNCATE TABLE t",
            "UPDATE t SET a = 1 WHERE b",
            "USE d",
            "VACUUM t RETAIN 2 DAYS DRY RUN",
        ];
        let topics = |sql: &str| TOPICS.iter().filter(|topic| sql.starts_with(topic.name)).count();
        for sql in examples {
            assert!(topics(sql) > 0, "no topic for {sql}");
            if let Err(error) = crate::parser::parse_one(sql) {
                panic!("{sql}: {error}");
            }
        }
        for topic in TOPICS.iter().filter(|topic| !topic.name.starts_with("ML.")) {
            assert!(examples.iter().any(|sql| sql.starts_with(topic.name)), "no example of {}", topic.name);
        }
    }

    #[test]
    fn help_is_found_by_the_first_words() {
        assert!(syntax("").unwrap().contains("CREATE MODEL"));
        assert!(syntax("create table;").unwrap().starts_with("CREATE TABLE: make a table that the server keeps\n\n  CREATE"));
        assert_eq!(syntax("drop").unwrap().matches("remove a").count(), 7);
        assert!(syntax("show tables").unwrap().starts_with("SHOW:"));
        let error = syntax("CREATE TABEL").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Did you mean \"CREATE TABLE\"?"));
        assert_eq!(syntax("fly").unwrap_err().hint.as_deref(), Some("\\h shows all statements."));
    }
}
