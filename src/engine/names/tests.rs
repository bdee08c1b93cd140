//! Names without regard to case, as tables of cases.

use super::*;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use sqlparser::ast::Statement;
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

fn query(sql: &str) -> Query {
    match Parser::parse_sql(&GenericDialect {}, sql).unwrap().remove(0) {
        Statement::Query(query) => *query,
        other => panic!("not a query: {other}"),
    }
}

/// `users (userId, fullName, address struct<streetName>)`, `orders (orderId, USERID)`, `twins (a, A)`.
fn known() -> KnownNames {
    let address = DataType::Struct(Fields::from(vec![Field::new("streetName", DataType::Utf8, true)]));
    let schema = |columns: &[(&str, &DataType)]| {
        Schema::new(columns.iter().map(|(name, data_type)| Field::new(*name, (*data_type).clone(), true)).collect::<Vec<_>>())
    };
    let mut known = KnownNames::default();
    for (name, schema) in [
        ("users", schema(&[("userId", &DataType::Int32), ("fullName", &DataType::Utf8), ("address", &address)])),
        ("orders", schema(&[("orderId", &DataType::Int32), ("USERID", &DataType::Int32)])),
        ("twins", schema(&[("a", &DataType::Int32), ("A", &DataType::Int32)])),
    ] {
        known.add_table(&ObjectName::from(vec![Ident::new(name)]), &schema);
    }
    known
}

fn resolved(sql: &str) -> String {
    let mut query = query(sql);
    resolve(&mut query, &known()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    query.to_string()
}

#[test]
fn columns_that_differ_by_case_need_their_spelling() {
    for sql in ["SELECT \"Aa\" FROM twins AS T (aa, AA)", "SELECT userid FROM users, orders"] {
        let error = resolve(&mut query(sql), &known()).unwrap_err();
        assert!(error.message.contains("ambiguous"), "{sql}: {error}");
    }
    assert_eq!(resolved("SELECT A, a FROM TWINS"), "SELECT A, a FROM twins");
}

#[test]
fn every_place_is_spelt_as_its_own_table() {
    for (sql, expected) in [
        ("SELECT USERID FROM Users", "SELECT userId FROM users"),
        ("SELECT u.USERID, O.userid FROM users U, ORDERS o", "SELECT u.userId, o.USERID FROM users u, orders o"),
        // Correlated: the inner one belongs to orders, the outer one to users.
        (
            "SELECT userid FROM users u WHERE EXISTS (SELECT 1 FROM orders WHERE userid = u.userid)",
            "SELECT userId FROM users u WHERE EXISTS (SELECT 1 AS \"1\" FROM orders WHERE USERID = u.userId)",
        ),
        // An alias wins in ORDER BY, the column in WHERE.
        (
            "SELECT orderid AS UserID FROM users, orders WHERE fullname = '' ORDER BY userid",
            "SELECT orderId AS UserID FROM users, orders WHERE fullName = '' ORDER BY UserID",
        ),
        ("SELECT x FROM (SELECT userid AS X FROM users) S WHERE s.x > 1", "SELECT X FROM (SELECT userId AS X FROM users) s WHERE s.X > 1"),
        ("WITH C (N) AS (SELECT 1) SELECT c.n FROM C", "WITH c (N) AS (SELECT 1 AS \"1\") SELECT c.N FROM c"),
        // What is computed is named by its text.
        (
            "SELECT sum(USERID), ((userid + 1)) FROM users",
            "SELECT sum(userId) AS \"sum(userId)\", ((userId + 1)) AS \"userId + 1\" FROM users",
        ),
        (
            "SELECT (SELECT max(userid) FROM orders), $1 FROM users",
            "SELECT (SELECT max(USERID) AS \"max(USERID)\" FROM orders) AS \"(SELECT max(USERID) FROM orders)\", $1 FROM users",
        ),
        (
            "SELECT lower(fullname) FROM users GROUP BY ALL ORDER BY lower(fullname)",
            "SELECT lower(fullName) FROM users GROUP BY ALL ORDER BY lower(fullName)",
        ),
        ("SELECT DISTINCT userid, 1 FROM users ORDER BY 1", "SELECT DISTINCT userId, 1 AS \"1\" FROM users ORDER BY 1"),
        ("SELECT (userid), UNNEST(address) FROM users", "SELECT (userId), UNNEST(address) FROM users"),
        // The list's own column is what DISTINCT can be sorted by.
        (
            "SELECT DISTINCT USERID + 1 FROM users ORDER BY userid + 1 DESC, 1",
            "SELECT DISTINCT userId + 1 AS \"userId + 1\" FROM users ORDER BY \"userId + 1\" DESC, 1",
        ),
        ("SELECT userid + 1 FROM users ORDER BY USERID + 1", "SELECT userId + 1 AS \"userId + 1\" FROM users ORDER BY userId + 1"),
        // What AS names keeps its name.
        ("SELECT userid AS fullname, fullName FROM users", "SELECT userId AS fullname, fullName FROM users"),
        ("SELECT userid AS \"fullName\", fullname FROM users", "SELECT userId AS \"fullName\", fullName AS \"fullName_1\" FROM users"),
        ("SELECT fullname, userid AS \"fullName\" FROM users", "SELECT fullName AS \"fullName_1\", userId AS \"fullName\" FROM users"),
        ("SELECT 5 AS \"1\", 1, (1)", "SELECT 5 AS \"1\", 1 AS \"1_1\", (1) AS \"1_2\""),
        ("SELECT 1, \"1\" FROM generate_series(1, 3)", "SELECT 1 AS \"1_1\", \"1\" FROM generate_series(1, 3)"),
        // One column in two spellings, and beside a star.
        ("SELECT userid, U.USERID FROM users U", "SELECT userId, u.userId AS \"userId_1\" FROM users u"),
        ("SELECT u.userid, o.userid FROM users u, orders o", "SELECT u.userId, o.USERID FROM users u, orders o"),
        ("SELECT fullname, *, userid AS fullName_1 FROM users", "SELECT fullName AS \"fullName_2\", *, userId AS fullName_1 FROM users"),
        ("SELECT o.*, fullname, orderid FROM users u, orders o", "SELECT o.*, fullName, orderId AS \"orderId_1\" FROM users u, orders o"),
        ("SELECT * EXCEPT (userid), userid FROM users", "SELECT * EXCEPT (userId), userId FROM users"),
        // A field names its column, also for the query around.
        ("SELECT ADDRESS.STREETNAME FROM users", "SELECT address.streetName AS \"streetName\" FROM users"),
        (
            "SELECT STREETNAME FROM (SELECT U.ADDRESS.STREETNAME, userid FROM users U) S WHERE s.streetname = ''",
            "SELECT streetName FROM (SELECT u.address.streetName AS \"streetName\", userId FROM users u) s WHERE s.streetName = ''",
        ),
        (
            "SELECT address.streetName, userId AS \"streetName\" FROM users",
            "SELECT address.streetName AS \"streetName_1\", userId AS \"streetName\" FROM users",
        ),
        ("SELECT *, address.streetName FROM users", "SELECT *, address.streetName FROM users"),
        (
            "SELECT users.userId, default.users.address.streetName FROM users",
            "SELECT users.userId, default.users.address.streetName AS \"streetName\" FROM users",
        ),
        ("SELECT u.* EXCEPT (USERID) FROM users U", "SELECT u.* EXCEPT (userId) FROM users u"),
        // The columns of a function are known only later: they are in lower case.
        ("SELECT VALUE FROM generate_series(1, 3)", "SELECT value FROM generate_series(1, 3)"),
        // Unknown names stay for the planner to refuse.
        ("SELECT Nothing FROM users", "SELECT Nothing FROM users"),
    ] {
        assert_eq!(resolved(sql), expected, "{sql}");
    }
}

#[test]
fn joins_by_name_agree_on_the_left_spelling() {
    let wrapped = "(SELECT \"orderId\" AS \"orderId\", \"USERID\" AS \"userId\" FROM orders)";
    assert_eq!(
        resolved("SELECT userid FROM users JOIN orders USING (UserID)"),
        format!("SELECT userId FROM users JOIN {wrapped} AS orders USING(userId)")
    );
    assert_eq!(
        resolved("SELECT o.USERID FROM users NATURAL JOIN orders O"),
        format!("SELECT o.userId FROM users NATURAL JOIN {} AS o", wrapped.replace("FROM orders", "FROM orders o"))
    );
}
