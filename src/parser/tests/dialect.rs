//! Spellings of BI tools and other databases.

use super::*;

#[track_caller]
fn check_parameters(sql: &str, expected: &str, n_parameters: usize) {
    let query = query_of(sql);
    assert_eq!((query.query.to_string().as_str(), query.n_parameters), (expected, n_parameters), "{sql}");
}

#[test]
fn question_marks_become_numbers_outside_texts() {
    check_parameters("SELECT ?, a FROM t WHERE b = ? AND c IN (?, ?)", "SELECT $1, a FROM t WHERE b = $2 AND c IN ($3, $4)", 4);
    check_parameters("SELECT '?', \"?\", `?` /* ? */ -- ?\n, ?", "SELECT '?', \"?\", `?`, $1", 1);
    check_parameters("SELECT $2, $1, $2", "SELECT $2, $1, $2", 2);
    check_parameters("SELECT ?2, ?1", "SELECT $2, $1", 2);
    check_parameters("SELECT TOP ? a FROM t WHERE b = ?", "SELECT a FROM t WHERE b = $2 LIMIT $1", 2);
    check_parameters("SELECT a FROM t LIMIT ? OFFSET ?", "SELECT a FROM t LIMIT $1 OFFSET $2", 2);
    check_parameters("SELECT {fn abs(?)}, ?", "SELECT abs($1), $2", 2);
}

#[test]
fn top_fetch_and_offset_rows_become_limit_and_offset() {
    for (sql, expected) in [
        ("SELECT TOP 5 a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a LIMIT 5"),
        ("SELECT DISTINCT TOP 5 a FROM t", "SELECT DISTINCT a FROM t LIMIT 5"),
        ("select top (5) * from t", "SELECT * FROM t LIMIT 5"),
        ("SELECT TOP 5 [a] FROM t", "SELECT \"a\" FROM t LIMIT 5"),
        ("SELECT TOP (2 + 3) [a] FROM t", "SELECT \"a\" FROM t LIMIT 2 + 3"),
        ("SELECT * FROM (SELECT TOP 1000 a FROM t) x", "SELECT * FROM (SELECT a FROM t LIMIT 1000) x"),
        (
            "SELECT TOP 1 a FROM t UNION ALL SELECT TOP 2 b FROM u UNION ALL SELECT c FROM v",
            "(SELECT a FROM t LIMIT 1) UNION ALL (SELECT b FROM u LIMIT 2) UNION ALL SELECT c FROM v",
        ),
        ("SELECT top, a FROM t", "SELECT \"top\", a FROM t"),
        ("SELECT a AS top FROM t", "SELECT a AS top FROM t"),
        ("SELECT t.top FROM t", "SELECT t.top FROM t"),
        ("SELECT a FROM t FETCH FIRST 5 ROWS ONLY", "SELECT a FROM t LIMIT 5"),
        ("SELECT a FROM t ORDER BY a OFFSET 10 ROWS FETCH NEXT 5 ROWS ONLY", "SELECT a FROM t ORDER BY a LIMIT 5 OFFSET 10"),
        ("SELECT a FROM t FETCH FIRST ROW ONLY", "SELECT a FROM t LIMIT 1"),
        ("SELECT a FROM t OFFSET 3 ROW", "SELECT a FROM t OFFSET 3"),
        ("SELECT a FROM t LIMIT 5, 10", "SELECT a FROM t LIMIT 5, 10"),
    ] {
        check_query(sql, expected);
    }
}

#[test]
fn odbc_escapes_are_taken_away() {
    for (sql, expected) in [
        ("SELECT {fn UCASE({fn LTRIM(a)})} FROM t", "SELECT UCASE(LTRIM(a)) FROM t"),
        ("SELECT {d '2020-01-02'}, {t '10:11:12'}", "SELECT DATE '2020-01-02', TIME '10:11:12'"),
        ("SELECT {ts '2020-01-02 10:11:12'}", "SELECT TIMESTAMP '2020-01-02 10:11:12'"),
        ("SELECT * FROM {oj a LEFT OUTER JOIN b ON a.x = b.x}", "SELECT * FROM a LEFT OUTER JOIN b ON a.x = b.x"),
        ("SELECT a FROM t WHERE a LIKE 'x!%' {escape '!'}", "SELECT a FROM t WHERE a LIKE 'x!%' ESCAPE '!'"),
        ("SELECT {fn CONVERT(a, SQL_INTEGER)}", "SELECT CAST(a AS INTEGER)"),
        ("SELECT {fn CONVERT({fn CONVERT(a, SQL_VARCHAR)}, SQL_DOUBLE)}", "SELECT CAST(CAST(a AS VARCHAR) AS DOUBLE)"),
        ("SELECT {fn TIMESTAMPADD(SQL_TSI_MONTH, -1, ts)}", "SELECT timestampadd('month', -1, ts)"),
        ("SELECT {fn TIMESTAMPDIFF(SQL_TSI_FRAC_SECOND, a, b)}", "SELECT timestampdiff('nanosecond', a, b)"),
        ("SELECT '{fn x}' AS \"{d}\"", "SELECT '{fn x}' AS \"{d}\""),
        ("SELECT {'a': 1, 'b': 2}", "SELECT {'a': 1, 'b': 2}"),
        ("SELECT {fn: 1}", "SELECT {fn: 1}"),
    ] {
        check_query(sql, expected);
    }
    // A view keeps its text whole.
    assert_eq!(query_of("SELECT {fn now()} ;").text, "SELECT {fn now()}");
}

#[test]
fn convert_becomes_cast() {
    for (sql, expected) in [
        ("SELECT CONVERT(a, SQL_VARCHAR)", "SELECT CAST(a AS VARCHAR)"),
        ("SELECT CONVERT(INT, a)", "SELECT CAST(a AS INT)"),
        ("SELECT CONVERT(VARCHAR(10), a)", "SELECT CAST(a AS VARCHAR(10))"),
        ("SELECT CONVERT(a, DECIMAL(10, 2))", "SELECT CAST(a AS DECIMAL(10,2))"),
        ("SELECT TRY_CONVERT(BIT, a)", "SELECT TRY_CAST(a AS BOOLEAN)"),
        ("SELECT CONVERT(coalesce(a, CONVERT(b, DATE)), DATE)", "SELECT CAST(coalesce(a, CAST(b AS DATE)) AS DATE)"),
        ("SELECT CONVERT(a USING utf8mb4)", "SELECT (a)"),
        (
            "SELECT CAST(a AS NUMBER), CAST(a AS NUMBER(10, 2)), CAST(a AS NUMBER(5))",
            "SELECT CAST(a AS DOUBLE), CAST(a AS DECIMAL(10,2)), CAST(a AS DECIMAL(5,0))",
        ),
        ("SELECT CAST(a AS SQL_WVARCHAR), CAST(a AS LONG)", "SELECT CAST(a AS VARCHAR), CAST(a AS BIGINT)"),
        ("SELECT a::number FROM t", "SELECT a::DOUBLE FROM t"),
    ] {
        check_query(sql, expected);
    }
}

#[test]
fn bare_units_become_strings() {
    for (sql, expected) in [
        ("SELECT TIMESTAMPADD(MONTH, 1, ts)", "SELECT timestampadd('month', 1, ts)"),
        ("SELECT date_diff(month, a, b)", "SELECT date_diff('month', a, b)"),
        ("SELECT DATEDIFF(day, a, b), DATEADD(year, 1, a)", "SELECT date_diff('day', a, b), timestampadd('year', 1, a)"),
        ("SELECT datediff(month, a)", "SELECT datediff(month, a)"),
        ("SELECT date_diff('month', a, b)", "SELECT date_diff('month', a, b)"),
        ("SELECT timestampadd(day, timestampdiff(day, a, b), c)", "SELECT timestampadd('day', timestampdiff('day', a, b), c)"),
        ("SELECT date_add(ts, n * interval 1 month)", "SELECT date_add(ts, n * INTERVAL 1 MONTH)"),
        ("SELECT ts + INTERVAL '1' DAY * 7", "SELECT ts + INTERVAL '1' DAY * 7"),
        ("SELECT 1.5 * INTERVAL '1' DAY", "SELECT 1.5 * INTERVAL '1' DAY"),
    ] {
        check_query(sql, expected);
    }
}

#[test]
fn brackets_quote_names_where_no_subscript_can_stand() {
    for (sql, expected) in [
        ("SELECT [a], t.[Order Details] FROM [dbo].[t] AS [x]", "SELECT \"a\", t.\"Order Details\" FROM \"dbo\".\"t\" AS \"x\""),
        ("SELECT a[1], f(x)[2], (a)[b], \"a\"[i] FROM t", "SELECT a[1], f(x)[2], (a)[b], \"a\"[i] FROM t"),
        ("SELECT [1, 2], ['a'], [a, b], [NULL]", "SELECT [1, 2], ['a'], [a, b], [NULL]"),
        ("SELECT ARRAY[a], list[1:2]", "SELECT ARRAY[a], list[1:2]"),
        ("SELECT a FROM t WHERE [a b 2] = 1 ORDER BY [a b 2]", "SELECT a FROM t WHERE \"a b 2\" = 1 ORDER BY \"a b 2\""),
        ("SELECT `a b` FROM `t`", "SELECT `a b` FROM `t`"),
    ] {
        check_query(sql, expected);
    }
}

#[test]
fn queries_of_power_bi_parse() {
    for sql in [
        "select \"ITBL\".\"a\" from ( select \"a\", CAST(75 as DOUBLE) as \"C1\" from \"weir\".\"public\".\"t\" where not \"a\" is null ) as \"ITBL\" order by \"ITBL\".\"a\" LIMIT 1001",
        "select \"_\".\"a\", \"a0\" from (select \"rows\".\"a\", sum(\"rows\".\"b\") as \"a0\" from (select \"a\" from \"public\".\"t\" \"$Table\") \"rows\" group by \"a\") \"_\" limit 1000001",
        "select TABLE_NAME from INFORMATION_SCHEMA.TABLES where \"TABLE_TYPE\" = 'VIEW' and starts_with(x, 'a') and DATE '2020-01-01' < d",
    ] {
        query_of(sql);
    }
}
