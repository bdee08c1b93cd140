//! Texts that would overflow a stack are refused; what is near the limit works on a small stack.

use super::*;
use crate::parser::limits::{OPERATORS_MAX, RELATIONS_MAX, SET_ARMS_MAX, SQL_BYTES_MAX};
use std::fmt::Write;

/// Parses on a stack as small as that of a tokio worker in the worst case.
fn on_small_stack(sql: String) -> Result<()> {
    let work = move || parse(&sql).map(|_| ());
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().expect("the parser must not panic")
}

#[track_caller]
fn check(sql: String, within: bool) {
    let head: String = sql.chars().take(60).collect();
    match on_small_stack(sql) {
        Ok(()) => assert!(within, "{head} is beyond the limit and was accepted"),
        Err(error) => assert!(!within && error.code == Code::LimitExceeded, "{head}: {error}"),
    }
}

fn chain(operand: &str, operator: &str, n_operators: usize) -> String {
    let mut sql = format!("SELECT {operand}");
    for _ in 0..n_operators {
        write!(sql, " {operator} {operand}").unwrap();
    }
    sql
}

#[test]
fn chains_of_operators_have_a_limit() {
    for operator in ["+", "||", "OR", "AND", "=", "*", "-", "<=", "LIKE", "IS DISTINCT FROM"] {
        check(chain("a", operator, OPERATORS_MAX / 2), true);
        check(chain("a", operator, OPERATORS_MAX + 1), false);
        check(chain("a", operator, 20_000), false);
    }
    check(chain("1", "+", OPERATORS_MAX), true);
    check(format!("SELECT {}a", "NOT ".repeat(OPERATORS_MAX + 1)), false);
    check(format!("SELECT {}1", "- ".repeat(OPERATORS_MAX + 1)), false);
    check(format!("SELECT a{}", "::int".repeat(2_000)), false);
    check(format!("SELECT a{}", "[1]".repeat(2_000)), false);
    check(format!("SELECT a{}", " IS NULL".repeat(2_000)), false);
    check(format!("SELECT a{}", ".b".repeat(2_000)), false);
    check(format!("SELECT {}", "interval ".repeat(2_000)), false);
}

#[test]
fn operators_beside_each_other_are_not_a_chain() {
    check(format!("INSERT INTO t VALUES {}", vec!["(-1, 2 + 3)"; 3_000].join(", ")), true);
    check(format!("SELECT {}", vec!["a + 1"; 800].join(", ")), true);
    check(format!("SELECT CASE {} END", "WHEN a = 1 THEN b + 1 ".repeat(600)), true);
    check(format!("SELECT a FROM t WHERE a IN ({})", vec!["1"; 50_000].join(",")), true);
    check(format!("SELECT {}", vec!["a + 1"; 11_000].join(", ")), false);
}

#[test]
fn set_operations_relations_and_length_have_a_limit() {
    check(vec!["SELECT 1"; SET_ARMS_MAX].join(" UNION ALL "), true);
    check(vec!["SELECT 1"; SET_ARMS_MAX + 1].join(" UNION ALL "), false);
    check(vec!["SELECT 1"; 4_000].join(" UNION "), false);
    check(format!("SELECT * FROM {}", vec!["t"; RELATIONS_MAX].join(", ")), true);
    check(format!("SELECT * FROM {}", vec!["t"; RELATIONS_MAX + 1].join(" CROSS JOIN ")), false);
    check(format!("SELECT '{}'", "x".repeat(SQL_BYTES_MAX)), false);
    check("SELECT $65536".into(), false);
}

#[test]
fn nesting_has_a_limit() {
    for (open, middle, close) in [
        ("(", "1", ")"),
        ("f(", "1", ")"),
        ("[", "1", "]"),
        ("ARRAY[", "1", "]"),
        ("CAST(", "1", " AS INT)"),
        ("CASE WHEN a THEN ", "1", " END"),
        ("(SELECT ", "1", ")"),
        ("EXISTS (SELECT ", "1", ")"),
        ("(SELECT a FROM t WHERE b IN ", "(1)", ")"),
        ("{'a': ", "1", "}"),
        ("STRUCT(", "1", ")"),
        ("coalesce(a, ", "1", ")"),
        ("convert(", "1", ", SQL_INTEGER)"),
    ] {
        let nested = |n: usize| format!("SELECT {}{middle}{}", open.repeat(n), close.repeat(n));
        check(nested(30), true);
        check(nested(3_000), false);
        // Unfinished and unclosed ones must neither overflow nor take exponential time.
        for n in [30, 95] {
            assert!(on_small_stack(format!("SELECT {}", open.repeat(n))).is_err());
            assert!(on_small_stack(format!("SELECT {}%{}", open.repeat(n), close.repeat(n))).is_err());
        }
    }
    for (open, middle, close) in [("(", "t", ")"), ("(SELECT * FROM ", "t", ")"), ("(a JOIN ", "t", " ON true)")] {
        let nested = |n: usize| format!("SELECT * FROM {}{middle}{}", open.repeat(n), close.repeat(n));
        check(nested(40), true);
        check(nested(3_000), false);
        assert!(on_small_stack(format!("SELECT * FROM {}", open.repeat(90))).is_err());
    }
    let nested_type = |n: usize| format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(n), ">".repeat(n));
    check(nested_type(50), true);
    check(nested_type(3_000), false);
    assert!(parse_type(&format!("INT{}", "[]".repeat(3_000))).is_err());
    assert!(parse_type(&format!("{}INT", "MAP<INT,".repeat(3_000))).is_err());
}
