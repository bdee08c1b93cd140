//! Every function's example, run.

use super::*;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::BTreeSet;

fn context() -> SessionContext {
    let mut context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    register_all(&mut context).unwrap();
    for function in session_functions("public", "admin") {
        context.register_udf(function);
    }
    for (name, function) in table_functions() {
        context.register_udtf(name, function);
    }
    context
}

/// The first column of the answer, rows by `, `.
async fn answer(context: &SessionContext, sql: &str) -> Result<String> {
    let batches = context.sql(sql).await?.collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut values = Vec::new();
    for batch in &batches {
        let formatter = ArrayFormatter::try_new(batch.column(0), &options)?;
        values.extend((0..batch.num_rows()).map(|row| formatter.value(row).to_string()));
    }
    Ok(values.join(", "))
}

#[track_caller]
fn check_all(cases: &[(&str, &str)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = context();
    for (expression, expected) in cases {
        let sql = if expression.starts_with("SELECT") { (*expression).to_owned() } else { format!("SELECT {expression}") };
        let found = runtime.block_on(answer(&context, &sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(found, *expected, "{sql}");
    }
}

#[track_caller]
fn fails(expression: &str, expected: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    match runtime.block_on(answer(&context(), &format!("SELECT {expression}"))) {
        Ok(found) => panic!("{expression} answers {}", found.chars().take(100).collect::<String>()),
        Err(error) => assert!(error.to_string().contains(expected), "{expression}: {error}"),
    }
}

#[test]
fn wrong_arguments_are_told_with_the_signature() {
    fails("year(1)", "function year takes one date, timestamp or text: year(value)");
    fails("date_add(DATE '2026-01-01', 'x')", "function date_add takes");
    fails("timestampadd('fortnight', 1, now())", "\"fortnight\" is not a unit of time");
    fails("timestampadd(c, 1, now()) FROM (VALUES ('day')) AS t (c)", "the unit of time must be a constant");
    fails("date_add(DATE '2026-01-01', 99999999999)", "99999999999 units of time are out of range");
    fails("INTERVAL '1' MONTH * 9999999999", "an interval times 9999999999 is out of range");
    fails("regexp_extract('a', '(', 1)", "\"(\" is not a regular expression: unclosed group");
    fails("regexp_extract('a', 'a', 1)", "the pattern \"a\" has no group 1, the last is 0");
    fails("date_format(now(), 'QQ')", "unknown part \"QQ\"");
    fails("mod(1, 0)", "Divide by zero");
    fails("size(1)", "function size takes an array or a map");
}

#[test]
fn sizes_are_limited_before_memory_is_taken() {
    for expression in [
        "repeat('a', 2000000000)",
        "repeat(c, 2000000000) FROM (VALUES ('a'), ('b')) AS t (c)",
        "lpad('a', 20000000)",
        "rpad('a', 2000000000, 'xy')",
        "space(20000000)",
        "array_repeat(1, 1000000000)",
        "array_resize([1], 1000000000)",
        "generate_series(1, 1000000000)",
        "range(0, 1000000000)",
        "range(9223372036854775807, -9223372036854775808, -1)",
        "replace(repeat('a', 1000000), 'a', repeat('b', 1000000))",
    ] {
        fails(expression, "the limit is 16777216");
    }
    fails("length(space(value + 10000000)) FROM generate_series(1, 100)", "for one batch of rows");
    fails("count(*) FROM generate_series(1, 1000000000)", "would make 999999999 rows, the limit is 100000000");
    check_all(&[
        ("length(repeat('a', 16777216))", "16777216"),
        ("repeat('a', -1)", ""),
        ("length(space(5))", "5"),
        ("generate_series(DATE '2026-01-01', DATE '2026-01-03', INTERVAL '1' DAY)", "[2026-01-01, 2026-01-02, 2026-01-03]"),
        ("array_length(range(10, 0, -1))", "10"),
        ("count(*) FROM generate_series(1, 3)", "3"),
    ]);
}

#[tokio::test]
async fn large_constants_are_not_copied_into_rows() {
    for (sql, allowed) in [
        ("SELECT repeat('a', 100000) FROM generate_series(1, 10)", false),
        ("SELECT concat(value, repeat('a', 100000)) FROM generate_series(1, 10)", false),
        ("SELECT (SELECT max(concat(value, repeat('a', 100000))) FROM generate_series(1, 10))", false),
        ("SELECT repeat('a', 100000)", true),
        ("SELECT value FROM generate_series(1, 10) WHERE cast(value AS VARCHAR) = repeat('a', 100000)", true),
        ("SELECT repeat('a', 1000) FROM generate_series(1, 10)", true),
    ] {
        let context = context();
        let plan = context.state().create_logical_plan(sql).await.and_then(|plan| context.state().optimize(&plan)).unwrap();
        assert_eq!(check_constants(&plan).is_ok(), allowed, "{sql}");
    }
}

#[test]
fn texts_become_dates_by_pattern() {
    fails("to_date('2026-13-01')", "\"2026-13-01\" is not a date");
    fails("to_date('01/02/2026', 'yyyy-MM-dd')", "\"01/02/2026\" is not a date of the pattern \"yyyy-MM-dd\"");
    check_all(&[
        ("to_date('2026-01-02 10:00:00')", "2026-01-02"),
        ("to_date(c) FROM (VALUES (TIMESTAMP '2026-01-02 23:59:59'), (NULL)) AS t (c)", "2026-01-02, NULL"),
        ("to_date('02/01/2026', '%d/%m/%Y')", "2026-01-02"),
        ("to_date('nothing', 'yyyy', '%d/%m/%Y', NULL) IS NULL FROM (VALUES (1)) WHERE false", ""),
        ("to_date('02.01.2026', 'yyyy-MM-dd', 'dd.MM.yyyy')", "2026-01-02"),
        ("to_date(c, 'MMM d, yyyy') FROM (VALUES ('Jan 2, 2026'), (NULL)) AS t (c)", "2026-01-02, NULL"),
        ("to_date(20455)", "2026-01-02"),
        ("date('2026-01-02')", "2026-01-02"),
    ]);
}

#[test]
fn functions_are_unique_explained_and_their_examples_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = context();
    let mut names = BTreeSet::new();
    for function in FUNCTIONS {
        for name in function.aliases.iter().chain([&function.name]) {
            assert!(names.insert(*name), "{name} is listed twice");
            assert_eq!(name.to_lowercase(), *name);
        }
        assert!(!function.help.ends_with('.') && !function.help.is_empty(), "{}: help is a fragment", function.name);
        assert!(function.signature.starts_with(function.name), "{}", function.name);
        let found = runtime.block_on(answer(&context, function.example)).unwrap_or_else(|error| panic!("{}: {error}", function.name));
        if function.result.is_empty() {
            assert!(!found.is_empty(), "{}", function.name);
        } else {
            assert_eq!(found, function.result, "{}", function.example);
        }
    }
}

#[test]
fn dates_are_taken_apart() {
    check_all(&[
        ("year(c) FROM (VALUES (DATE '2024-02-29'), (NULL)) AS t (c)", "2024, NULL"),
        ("year(NULL)", "NULL"),
        ("month('2026-03-05 10:00:00')", "3"),
        ("weekofyear(DATE '2026-01-01')", "1"),
        ("dayofmonth(TIMESTAMP '1969-12-31 23:59:59')", "31"),
        ("hour(TIME '13:14:15')", "13"),
        ("hour(DATE '2026-01-01')", "0"),
        ("dayname(c) FROM (VALUES (DATE '2026-03-07'), (NULL)) AS t (c)", "Saturday, NULL"),
        ("monthname('2026-12-31')", "December"),
    ]);
}

#[test]
fn dates_are_added() {
    check_all(&[
        ("date_add(c, 1) FROM (VALUES (DATE '2024-02-28'), (NULL)) AS t (c)", "2024-02-29, NULL"),
        ("date_add('2026-01-01', 3)", "2026-01-04"),
        ("date_add(TIMESTAMP '2026-01-31 10:00:00', 2 * INTERVAL '1' MONTH)", "2026-03-31T10:00:00"),
        (
            "date_add(TIMESTAMP '2026-01-31 10:00:00', n * INTERVAL '1' MONTH) FROM (VALUES (1), (-1)) AS t (n)",
            "2026-02-28T10:00:00, 2025-12-31T10:00:00",
        ),
        ("date_add('month', 1, DATE '2026-01-31')", "2026-02-28"),
        ("date_add('hour', 1, DATE '2026-01-31')", "2026-01-31T01:00:00"),
        ("dateadd('QUARTERS', -1, DATE '2026-01-31')", "2025-10-31"),
        ("date_sub(DATE '2026-01-31', INTERVAL '1' YEAR)", "2025-01-31"),
        ("date_sub(DATE '2026-01-31', -1)", "2026-02-01"),
        ("timestampadd('SQL_TSI_WEEK', n, DATE '2026-01-01') FROM (VALUES (1), (NULL)) AS t (n)", "2026-01-08, NULL"),
        ("timestampadd('day', 1, TIMESTAMP '2026-01-01 10:00:00')", "2026-01-02T10:00:00"),
        ("timestampadd('frac_second', 1000, TIMESTAMP '2026-01-01 10:00:00')", "2026-01-01T10:00:00.000001"),
        ("last_day(c) FROM (VALUES (DATE '2026-01-31'), (DATE '2025-12-01'), (NULL)) AS t (c)", "2026-01-31, 2025-12-31, NULL"),
    ]);
}

#[test]
fn dates_are_subtracted() {
    check_all(&[
        ("datediff('2026-03-01 01:00:00', '2026-02-28 23:00:00')", "1"),
        ("date_diff('hour', '2026-02-28 23:30:00', '2026-03-01 01:00:00')", "1"),
        ("date_diff('month', DATE '2026-03-30', DATE '2026-01-31')", "-1"),
        ("date_diff('month', DATE '2026-01-15', DATE '2026-03-15')", "2"),
        ("timestampdiff('SQL_TSI_YEAR', DATE '2024-02-29', DATE '2026-02-28')", "1"),
        ("timestampdiff('quarter', DATE '2025-01-01', c) FROM (VALUES (DATE '2026-01-01'), (NULL)) AS t (c)", "4, NULL"),
        ("timestampdiff('week', DATE '2026-01-01', DATE '2026-01-14')", "1"),
        ("timestampdiff('second', TIMESTAMP '2026-01-01 00:00:00.9', TIMESTAMP '2026-01-01 00:00:02')", "1"),
        ("months_between(DATE '2026-03-15', DATE '2026-01-01')", "2.4516129"),
    ]);
}

#[test]
fn intervals_are_multiplied() {
    check_all(&[
        ("DATE '2026-01-01' + INTERVAL '1' MONTH * 2", "2026-03-01"),
        ("DATE '2026-01-01' + INTERVAL '3' MONTH / 3", "2026-02-01"),
        ("TIMESTAMP '2026-01-01 00:00:00' + 1.5 * INTERVAL '1' DAY", "2026-01-02T12:00:00"),
        ("DATE '2026-01-01' + NULL * INTERVAL '1' DAY", "NULL"),
        ("TIMESTAMP '2026-01-01 00:00:00' + n * INTERVAL '1' HOUR FROM (VALUES (2), (NULL)) AS t (n)", "2026-01-01T02:00:00, NULL"),
        ("2 * 3", "6"),
    ]);
}

#[test]
fn unix_time_follows_hive() {
    check_all(&[
        ("unix_timestamp() > 1700000000", "true"),
        ("unix_timestamp('1970-01-01 00:01:00')", "60"),
        ("unix_timestamp('nonsense')", "NULL"),
        ("unix_timestamp(TIMESTAMP '1969-12-31 23:59:59.5')", "-1"),
        ("unix_timestamp(DATE '1970-01-02')", "86400"),
        ("from_unixtime(c) FROM (VALUES (0), (NULL)) AS t (c)", "1970-01-01 00:00:00, NULL"),
        ("date_format(DATE '2026-03-05', '%Y/%m')", "2026/03"),
        ("date_format(DATE '2026-03-05', 'EEEE d MMMM yyyy')", "Thursday 5 March 2026"),
    ]);
}

#[test]
fn text_functions_count_characters() {
    check_all(&[
        ("locate('é', 'café é')", "4"),
        ("locate('é', 'café é', 5)", "6"),
        ("locate('x', 'abc'), locate('', 'abc')", "0"),
        ("locate('a', 'abc', 0)", "0"),
        ("locate('', 'abc', 4)", "4"),
        ("locate(c, 'abc') FROM (VALUES ('b'), (NULL)) AS t (c)", "2, NULL"),
        ("insert('café', 4, 1, 'e')", "cafe"),
        ("insert('abc', 9, 1, 'x')", "abc"),
        ("insert('abc', 2, -1, 'x')", "ax"),
        ("regexp_extract(c, '([0-9]+)') FROM (VALUES ('a12'), ('b'), (NULL)) AS t (c)", "12, , NULL"),
        ("split('a,b,,c', ',')", "[a, b, , c]"),
        ("replace('abc', '', 'x')", "abc"),
        ("ucase('straße')", "STRASSE"),
    ]);
}

#[test]
fn conditions_are_lazy() {
    check_all(&[
        ("if(n = 0, NULL, 10 / n) FROM (VALUES (0), (5)) AS t (n)", "NULL, 2"),
        ("if(NULL, 1, 2)", "2"),
        ("if(1 > 2, 'a')", "NULL"),
        ("if(true, 1, 2.5)", "1.0"),
        ("isnull(c) FROM (VALUES (1), (NULL)) AS t (c)", "false, true"),
        ("mod(n, 3) FROM (VALUES (7), (NULL)) AS t (n)", "1, NULL"),
        ("mod(7.5, 2)", "1.5"),
        ("pmod(n, -3) FROM (VALUES (7), (-7)) AS t (n)", "-2, -1"),
        ("size(c) FROM (VALUES ([1, 2]), (NULL)) AS t (c)", "2, NULL"),
        ("size(MAP {'a': 1, 'b': 2})", "2"),
    ]);
}

#[test]
fn collected_values_leave_null_out() {
    check_all(&[
        (
            "SELECT array_sort(collect_set(c)) FROM (VALUES (1, 'a'), (1, 'b'), (2, 'a'), (2, NULL), (1, 'a')) AS t (g, c) GROUP BY g ORDER BY g",
            "[a, b], [a]",
        ),
        ("SELECT collect_list(c) FROM (VALUES (1, 'a'), (1, 'a'), (2, NULL)) AS t (g, c) GROUP BY g ORDER BY g", "[a, a], NULL"),
        (
            "SELECT count(*) FROM (SELECT collect_list(value) AS c FROM generate_series(1, 100000) GROUP BY value % 1000) WHERE size(c) = 100",
            "1000",
        ),
    ]);
}

/// One call of each function that `SqlInfo` names, as clients write them.
fn call(name: &str) -> String {
    match name {
        "ACOS" | "ASIN" | "ATAN" | "ABS" | "CEILING" | "COS" | "COT" | "DEGREES" | "EXP" | "FLOOR" | "LOG" | "LOG10" | "RADIANS"
        | "ROUND" | "SIGN" | "SIN" | "SQRT" | "TAN" | "TRUNCATE" => format!("{name}(0.5)"),
        "ATAN2" | "POWER" | "MOD" => format!("{name}(3, 2)"),
        "PI" | "RAND" | "CURDATE" | "CURTIME" | "NOW" | "DATABASE" | "USER" => format!("{name}()"),
        "CURRENT_DATE" | "CURRENT_TIME" | "CURRENT_TIMESTAMP" => format!("{name}()"),
        "CHAR" | "SPACE" => format!("{name}(32)"),
        "CONCAT" => "CONCAT('a', 'b')".to_owned(),
        "INSERT" => "INSERT('abc', 1, 1, 'x')".to_owned(),
        "LEFT" | "RIGHT" | "REPEAT" | "SUBSTRING" => format!("{name}('abc', 2)"),
        "LOCATE" => "LOCATE('b', 'abc')".to_owned(),
        "REPLACE" => "REPLACE('abc', 'b', 'x')".to_owned(),
        "ASCII" | "BIT_LENGTH" | "CHAR_LENGTH" | "CHARACTER_LENGTH" | "LCASE" | "LENGTH" | "LTRIM" | "OCTET_LENGTH" | "RTRIM" | "UCASE" => {
            format!("{name}('abc')")
        }
        "IFNULL" => "IFNULL(NULL, 1)".to_owned(),
        // The parser turns CONVERT into this.
        "CONVERT" => "CAST('1' AS INTEGER)".to_owned(),
        "TIMESTAMPADD" => "TIMESTAMPADD('SQL_TSI_DAY', 1, TIMESTAMP '2026-01-01 00:00:00')".to_owned(),
        "TIMESTAMPDIFF" => "TIMESTAMPDIFF('SQL_TSI_DAY', DATE '2026-01-01', DATE '2026-01-02')".to_owned(),
        _ => format!("{name}(TIMESTAMP '2026-01-02 03:04:05')"),
    }
}

#[test]
fn every_advertised_function_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let context = context();
    let mut seen = BTreeSet::new();
    for name in [NUMERIC_FUNCTIONS, STRING_FUNCTIONS, SYSTEM_FUNCTIONS, DATE_FUNCTIONS].concat() {
        assert!(seen.insert(name), "{name} is listed twice");
        let (plain, escaped) = (format!("SELECT {}", call(name)), format!("SELECT {{fn {}}}", call(name)));
        let forms = match name {
            // Without an escape USER has no parentheses.
            "USER" => vec!["SELECT user".to_owned(), escaped],
            "CONVERT" => vec![plain],
            _ => vec![plain, escaped],
        };
        for sql in forms {
            runtime.block_on(answer(&context, &sql)).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
}
