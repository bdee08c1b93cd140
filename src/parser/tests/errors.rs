//! What refused statements say.

use super::*;

#[test]
fn syntax_errors_say_where_what_and_what_was_expected() {
    for (sql, expected) in [
        ("", "the text holds no statement"),
        (" -- nothing\n;;", "the text holds no statement"),
        ("SELEC 1", "syntax error at line 1, column 1: unexpected \"SELEC\", expected a statement. Did you mean SELECT?"),
        ("CRATE TABLE t (a INT)", "Did you mean CREATE?"),
        (
            "CREATE TABEL t (a INT)",
            "syntax error at line 1, column 8: unexpected \"TABEL\", expected TABLE, VIEW, DATABASE, MODEL, USER or SECRET. Did you mean CREATE TABLE?",
        ),
        ("42", "unexpected \"42\", expected a statement"),
        ("SELECT 1;\nSELECT 2", "syntax error at line 2, column 1: a second statement begins here, expected one"),
        ("SELECT *\nFORM t", "Did you mean FROM?"),
        ("SELECT a FORM t", "syntax error at line 1, column 15: unexpected \"t\", expected the end of the statement. Did you mean FROM?"),
        ("SELECT a\n  FROM t WHERE", "syntax error at line 2, column 15: unexpected end of statement"),
        ("SELECT *\n  FROM t WHERE )", "line 2, column 16: unexpected \")\""),
        ("SELECT (1", "unexpected end of statement"),
        ("SELECT 1)", "syntax error at line 1, column 9: unexpected \")\""),
        ("SELECT 'open", "syntax error at line 1, column 8: unterminated string literal"),
        ("SELECT /* open", "multi-line comment"),
        ("SELECT \"open", "line 1, column 8"),
        ("SELECT 1 WHERE \\", "unexpected \"\\\""),
        ("CREATE TABLE t (a)", "syntax error at line 1, column 18: unexpected end of statement, expected the type of column \"a\""),
        ("CREATE TABLE t (a INT b INT)", "unexpected \"b\", expected NOT NULL, COMMENT, PRIMARY KEY, \",\" or \")\""),
        ("CREATE TABLE t (a INT) STORD AS PARQUET", "Did you mean STORED AS?"),
        ("CREATE TABLE t (a INT) PARTITIOND BY (a)", "Did you mean PARTITIONED BY?"),
        ("CREATE TABLE t ()", "expected a column name"),
        ("CREATE TABLE", "unexpected end of statement, expected a table name"),
        ("CREATE TABLE 'f.csv' (a INT)", "unexpected \"'f.csv'\", expected a table name"),
        ("CREATE EXTERNAL VIEW v AS SELECT 1", "unexpected \"VIEW\", expected TABLE"),
        ("CREATE OR REPLACE VIEW IF NOT EXISTS v AS SELECT 1", "both OR REPLACE and IF NOT EXISTS"),
        ("CREATE OR REPLACE SECRET IF NOT EXISTS s FROM ENV 'S'", "both OR REPLACE and IF NOT EXISTS"),
        ("CREATE VIEW v", "expected AS and a query"),
        ("CREATE VIEW v AS", "expected a query"),
        ("CREATE TABLE t (a INT) COMMENT 'x' COMMENT 'y'", "clause COMMENT is given twice"),
        ("CREATE TABLE t (a INT) LOCATION 'x' STORED AS CSV LOCATION 'y'", "clause LOCATION is given twice"),
        ("CREATE TABLE t (a INT) USING csv STORED AS CSV", "clause STORED AS is given twice"),
        ("CREATE TABLE t (a INT) TBLPROPERTIES () TBLPROPERTIES ()", "clause TBLPROPERTIES is given twice"),
        (
            "CREATE TABLE t (a INT) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' FIELDS TERMINATED BY ';'",
            "clause FIELDS TERMINATED BY is given twice",
        ),
        ("CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))", "clause PRIMARY KEY is given twice"),
        ("CREATE TABLE t (a INT) ROW FORMAT FIELDS", "expected DELIMITED or SERDE"),
        ("CREATE TABLE t (a INT) OPTIONS ('k')", "expected a value"),
        ("CREATE TABLE t (a INT) OPTIONS ('k' 'v' 'w')", "expected \",\" or \")\""),
        ("CREATE TABLE t (a INT) OPTIONS ('k' 'v',)", "expected an option"),
        ("DROP TABLE", "expected a table name"),
        ("DROP TABLE t u", "unexpected \"u\", expected the end of the statement"),
        ("INSERT t VALUES (1)", "expected INTO or OVERWRITE"),
        ("INSERT INTO t", "expected SELECT, VALUES or another query"),
        ("COPY t 'f.csv'", "expected TO"),
        ("CREATE MODEL m AS", "expected a query"),
        ("SELECT * FROM ML.PREDICT(m)", "unexpected \"m\", expected MODEL"),
        ("SELECT * FROM ML.PREDICT(MODEL m, t)", "expected TABLE t, a query in brackets, or STRUCT(..)"),
        ("SELECT * FROM ML.PREDICT(MODEL m, TABLE t, TABLE u)", "two inputs"),
        ("SELECT ? + $2", "mixes ? and numbered parameters"),
        ("SELECT $0", "parameter \"$0\" has no number"),
        ("SELECT TOP 3 a FROM t LIMIT 2", "both TOP and LIMIT"),
        ("SELECT a FROM t LIMIT 2 FETCH FIRST 3 ROWS ONLY", "both FETCH and LIMIT"),
        ("SET", ""),
        ("SHOW", "expected TABLES"),
        ("KILL", "expected the id of a query in quotes"),
        ("KILL QUERY (SELECT 1)", "expected the id of a query in quotes"),
        ("EXPLAIN EXPLAIN SELECT 1", "expected a statement to explain"),
        ("EXPLAIN", "expected a statement"),
        ("ALTER TABLE t FROBNICATE", "expected ADD COLUMN, ADD PARTITION"),
    ] {
        if !expected.is_empty() {
            check_error(sql, Code::Syntax, expected);
        }
    }
}

#[test]
fn misuse_is_told_from_bad_syntax() {
    for (sql, code, expected) in [
        ("CREATE TABLE t (a INT, a INT)", Code::DuplicateColumn, "column \"a\" is declared twice"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (a STRING)", Code::DuplicateColumn, "column \"a\" is declared twice"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (a, b STRING)", Code::InvalidStatement, "mixes columns with and without a type"),
        ("CREATE TABLE t (rating INT, PRIMARY KEY (ratng))", Code::UndefinedColumn, "Did you mean \"rating\"?"),
        ("CREATE TABLE t (a INT) OPTIONS ('k' 'v', K = 1)", Code::InvalidParameter, "option \"K\" is given twice"),
        ("CREATE VIEW v AS SELECT ?", Code::InvalidStatement, "a view cannot have parameters"),
        ("SELECT * FROM a.b.c.d", Code::Syntax, ""),
        ("DROP TABLE a.b.c.d", Code::InvalidStatement, "too many parts"),
        ("USE other.public", Code::InvalidStatement, "There is one catalog, \"weir\""),
        ("ALTER TABLE t ADD PARTITION (dt)", Code::InvalidStatement, "partition column \"dt\" needs a value"),
        ("INSERT INTO t (a, a) VALUES (1, 2)", Code::DuplicateColumn, "given twice"),
        ("SELECT ML.PREDICT(MODEL m)", Code::InvalidStatement, "an ML function stands outside FROM"),
        ("SELECT convert(a, b, c, d)", Code::InvalidStatement, "CONVERT needs a value and a type"),
    ] {
        if !expected.is_empty() {
            check_error(sql, code, expected);
        }
    }
}

#[test]
fn statements_of_later_versions_are_understood_and_refused() {
    for (sql, expected) in [
        ("CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 1", "CREATE MATERIALIZED VIEW is not supported yet"),
        ("CREATE SINK s FROM t", "CREATE SINK is not supported yet"),
        ("CREATE CONNECTION c TYPE postgres OPTIONS (password 'hunter2')", "CREATE CONNECTION is not supported yet"),
        ("CREATE TASK t SCHEDULE = '60 MINUTE' AS SELECT 1", "CREATE TASK is not supported yet"),
        ("CREATE ROLE r", "CREATE ROLE is not supported yet"),
        ("CREATE POLICY p ON t FOR SELECT TO r USING (true)", "CREATE POLICY is not supported yet"),
        ("CREATE TEMPORARY FUNCTION f AS 'x'", "CREATE FUNCTION is not supported yet"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE UNIQUE INDEX is not supported yet"),
        ("CREATE OR REPLACE USER u", "CREATE OR REPLACE USER is not supported yet"),
        ("CREATE TEMPORARY VIEW v AS SELECT 1", "CREATE TEMPORARY VIEW is not supported yet"),
        ("CREATE TEMPORARY MODEL m AS SELECT 1", "CREATE TEMPORARY MODEL is not supported yet"),
        ("CREATE TEMPORARY SECRET s FROM ENV 'S'", "CREATE TEMPORARY SECRET is not supported yet"),
        ("ALTER MODEL m SET OPTIONS (rank = 3)", "ALTER MODEL .. SET OPTIONS is not supported yet"),
        ("ALTER VIEW v AS SELECT 1", "ALTER VIEW is not supported yet. Use CREATE OR REPLACE VIEW"),
        ("DROP TASK t", "DROP TASK is not supported yet"),
        ("EXECUTE TASK t", "EXECUTE TASK is not supported yet"),
        ("GRANT SELECT ON TABLE t TO r", "GRANT is not supported yet"),
        ("REVOKE SELECT ON t FROM r", "REVOKE is not supported yet"),
        ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "MERGE is not supported yet"),
        ("SHOW GRANTS", "SHOW GRANTS is not supported yet"),
        ("CREATE TABLE t (a INT) CLUSTERED BY (a) INTO 4 BUCKETS", "CLUSTERED BY in CREATE TABLE is not supported yet"),
        ("CREATE TABLE t LIKE u", "CREATE TABLE .. LIKE is not supported yet"),
        ("CREATE TABLE t (a INT DEFAULT 1)", "DEFAULT of a column is not supported yet"),
        ("CREATE TABLE t (a INT, UNIQUE (a))", "UNIQUE in CREATE TABLE is not supported yet"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (bucket(4, a))", "the partition transform \"bucket(..)\" is not supported yet"),
        ("CREATE TABLE t (a INT) STORED AS INPUTFORMAT 'x.Y' OUTPUTFORMAT 'x.Z'", "the input format \"x.Y\" is not supported"),
        ("ALTER TABLE t DROP COLUMN a", "DROP COLUMN is not supported yet"),
        ("ALTER TABLE t SET LOCATION 'x'", "SET LOCATION is not supported yet"),
        ("DROP TABLE a, b", "Write one DROP for each"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "INSERT .. ON CONFLICT is not supported yet"),
        ("INSERT INTO t SELECT 1 RETURNING a", "INSERT .. RETURNING is not supported yet"),
        ("INSERT OVERWRITE DIRECTORY 'x' SELECT 1", "Use COPY"),
        ("COPY t FROM 'f.csv'", "COPY .. FROM is not supported yet"),
        ("COPY t TO STDOUT", "COPY .. TO STDOUT is not supported yet"),
        ("SELECT * FROM STREAM ratings_raw r", "FROM STREAM is not supported yet"),
        ("SELECT * FROM a JOIN STREAM b ON true", "FROM STREAM is not supported yet"),
        ("SELECT * FROM t TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE is not supported yet"),
        ("SELECT * FROM t AS u TABLESAMPLE (10 PERCENT)", "TABLESAMPLE is not supported yet"),
        ("SELECT * FROM (SELECT 1) TABLESAMPLE (10 ROWS)", "TABLESAMPLE is not supported yet"),
        ("SELECT * FROM t, LATERAL f(t.a)", "a LATERAL table function is not supported yet"),
        ("SELECT * FROM t CROSS JOIN LATERAL generate_series(1, t.a) x", "a LATERAL table function is not supported yet"),
        ("SELECT * FROM t LATERAL VIEW explode(a) x AS y", "LATERAL VIEW is not supported yet"),
        ("SELECT TOP 10 PERCENT a FROM t", "TOP .. PERCENT is not supported yet"),
        ("SELECT a FROM t FETCH FIRST 3 ROWS WITH TIES", "FETCH .. WITH TIES is not supported yet"),
        ("SELECT a INTO u FROM t", "SELECT INTO is not supported yet"),
        ("SELECT a FROM t FOR UPDATE", "FOR UPDATE is not supported yet"),
        ("WITH x AS (INSERT INTO t VALUES (1)) SELECT * FROM x", "a statement that writes inside a query is not supported yet"),
        ("WITH x AS (SELECT 1) DELETE FROM t", "a statement that writes inside a query is not supported yet"),
        ("SELECT CONVERT(VARCHAR(10), a, 120)", "a style in CONVERT is not supported yet"),
    ] {
        check_error(sql, Code::NotSupported, expected);
    }
}

#[test]
fn no_error_repeats_a_password() {
    for sql in [
        "CREATE USER u PASSWORD 'hunter2' 'hunter2'",
        "CREATE USER u PASSWORD hunter2",
        "CREATE USER u PASSWORD \"hunter2\"",
        "CREATE USER u PASWORD 'hunter2'",
        "CREATE USER u 'hunter2'",
        "CREATE USER u PASSWORD 'a' hunter2",
        "CRATE USER u PASSWORD 'hunter2'",
        "CREATE USR u PASSWORD 'hunter2'",
        "CREATE TABLE t WITH ('password' = 'a' 'hunter2')",
        "CREATE CONECTION c OPTIONS (password 'hunter2')",
        "ALTER USER u WITH PASSWORD 'hunter2",
        "ALTER USER u PASSWORD 'a' PASSWORD 'hunter2' x",
        "ALTER USER u PASSWORD = = 'hunter2'",
        "SELECT 'hunter2' 'hunter2' hunter2 hunter2 AS password",
    ] {
        let error = refused(sql);
        assert!(!format!("{error:?}").contains("hunter2"), "{sql}\n{error:?}");
    }
    assert!(!format!("{:?}", one("CREATE USER u PASSWORD 'hunter2'")).contains("hunter2"));
}
