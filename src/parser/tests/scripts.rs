//! Splitting scripts.

use super::*;

#[track_caller]
fn check(sql: &str, statements: &[&str], rest: &str) {
    let (found, left) = split(sql);
    assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), left.as_str()), (statements, rest), "{sql}");
}

#[test]
fn unfinished_texts_stay() {
    check("SELECT 1; SELECT 'a;b", &["SELECT 1"], "SELECT 'a;b");
    check("SELECT 1; /* a; /* b; */", &["SELECT 1"], "/* a; /* b; */");
    check("SELECT \"a;", &[], "SELECT \"a;");
    check("SELECT $x$ a; $y$", &[], "SELECT $x$ a; $y$");
    check("SELECT 1\n", &[], "SELECT 1\n");
    check("", &[], "");
    check("  -- nothing;\n", &[], "");
}

#[test]
fn semicolons_split_outside_texts() {
    check("SELECT 1; SELECT 2;", &["SELECT 1", "SELECT 2"], "");
    check(";; -- x\n;SELECT 1;", &["SELECT 1"], "");
    check("SELECT ';', \";\", `;` -- ;\n /* ; */, $$ ; $$;\nSELECT 2", &["SELECT ';', \";\", `;` -- ;\n /* ; */, $$ ; $$"], "SELECT 2");
    check("SELECT 'it''s;'; SELECT 'é;';", &["SELECT 'it''s;'", "SELECT 'é;'"], "");
    check("-- about\nSELECT 1;", &["-- about\nSELECT 1"], "");
    check("SELECT 'a\nb'\n; SELECT\r\n2;", &["SELECT 'a\nb'", "SELECT\r\n2"], "");
}

#[test]
fn what_can_never_be_a_token_goes_to_the_parser() {
    let (statements, rest) = split("SELECT 1; SELECT U&'\\zzzz'; SELECT 2");
    assert_eq!((statements.len(), rest.as_str()), (2, "SELECT 2"));
    assert_eq!(parse(&statements[1]).unwrap_err().code, Code::Syntax);
}

#[test]
fn many_statements_parse_in_order() {
    let statements = parse("USE a; ; BEGIN; -- c\nSELECT ?; SELECT ?, ?; COMMIT").unwrap();
    let parameters: Vec<_> =
        statements.iter().map(|statement| matches!(statement, Statement::Query(query) if query.n_parameters > 0)).collect();
    assert_eq!(parameters, [false, false, true, true, false]);
    assert_eq!(parse("-- nothing").unwrap(), []);
    let error = parse("SELECT 1;\n\n  SELEC 2").unwrap_err();
    assert!(error.message.contains("line 3, column 3"), "{error}");
}
