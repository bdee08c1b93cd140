//! SET, SHOW, DESCRIBE, EXPLAIN, users and the like.

use super::*;

fn set(name: &str, value: Option<&str>) -> Statement {
    Statement::Set { name: name.into(), value: value.map(Into::into) }
}

fn setting(name: Option<&str>) -> Statement {
    Statement::Show(Show::Setting { name: name.map(Into::into) })
}

#[test]
fn settings() {
    for (sql, expected) in [
        ("SET x = 'y'", set("x", Some("y"))),
        ("SET x TO y", set("x", Some("y"))),
        ("SET SESSION x = 1.5", set("x", Some("1.5"))),
        ("SET x = -3", set("x", Some("-3"))),
        ("SET statement_timeout = 10s", set("statement_timeout", Some("10s"))),
        ("SET x = DEFAULT", set("x", None)),
        ("SET weir.query.memory_limit = '2 GiB'", set("weir.query.memory_limit", Some("2 GiB"))),
        ("SET search_path = \"$user\", public", set("search_path", Some("\"$user\", public"))),
        ("SET TIME ZONE 'UTC'", set("timezone", Some("UTC"))),
        ("SET TIME ZONE LOCAL", set("timezone", None)),
        ("SET NAMES 'utf8'", set("client_encoding", Some("utf8"))),
        ("SET DateStyle='ISO'", set("DateStyle", Some("ISO"))),
        ("SET extra_float_digits = 3", set("extra_float_digits", Some("3"))),
        ("SET session = 1", set("session", Some("1"))),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED", set("transaction_isolation", Some("read committed"))),
        ("SET x", setting(Some("x"))),
        ("SHOW ALL", setting(None)),
        ("SHOW TIME ZONE", setting(Some("timezone"))),
        ("SHOW TRANSACTION ISOLATION LEVEL", setting(Some("transaction_isolation"))),
        ("SHOW a.b", setting(Some("a.b"))),
        ("RESET x", Statement::Reset { name: Some("x".into()) }),
        ("RESET ALL", Statement::Reset { name: None }),
        ("DISCARD ALL", Statement::Reset { name: None }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}

#[test]
fn transactions_and_kill() {
    for (sql, expected) in [
        ("BEGIN", Transaction::Begin),
        ("BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY", Transaction::Begin),
        ("START TRANSACTION", Transaction::Begin),
        ("COMMIT WORK", Transaction::Commit),
        ("END", Transaction::Commit),
        ("ROLLBACK AND NO CHAIN", Transaction::Rollback),
        ("ABORT", Transaction::Rollback),
    ] {
        assert_eq!(one(sql), Statement::Transaction(expected), "{sql}");
    }
    for (sql, id) in [("KILL QUERY 'a-1'", "a-1"), ("KILL 'a-1'", "a-1"), ("KILL 42", "42"), ("KILL QUERY 0198-ab", "0198-ab")] {
        assert_eq!(one(sql), Statement::KillQuery { id: id.into() }, "{sql}");
    }
}

#[test]
fn shows() {
    let like = |text: &str| Some(text.to_owned());
    for (sql, expected) in [
        ("SHOW DATABASES", Show::Databases { like: None }),
        ("SHOW SCHEMAS LIKE 'l%'", Show::Databases { like: like("l%") }),
        ("SHOW TABLES", Show::Tables { database: None, like: None }),
        ("show tables in lake like 'r%'", Show::Tables { database: like("lake"), like: like("r%") }),
        ("SHOW TABLES FROM lake 'r*'", Show::Tables { database: like("lake"), like: like("r*") }),
        ("SHOW VIEWS IN weir.lake", Show::Views { database: like("lake"), like: None }),
        ("SHOW COLUMNS IN db.t", Show::Columns { table: name("db.t") }),
        ("SHOW COLUMNS FROM t FROM db", Show::Columns { table: name("db.t") }),
        ("SHOW PARTITIONS t", Show::Partitions { table: name("t") }),
        ("SHOW CREATE TABLE db.t", Show::CreateTable { name: name("db.t") }),
        ("SHOW CREATE VIEW v", Show::CreateView { name: name("v") }),
        ("SHOW MODELS", Show::Models { like: None }),
        ("SHOW USERS", Show::Users),
        ("SHOW SECRETS", Show::Secrets),
        ("SHOW FUNCTIONS LIKE 'date%'", Show::Functions { like: like("date%") }),
        ("SHOW PROCESSLIST", Show::ProcessList),
        ("SHOW FULL PROCESSLIST", Show::ProcessList),
        ("SHOW TBLPROPERTIES t", Show::TblProperties { name: name("t") }),
    ] {
        assert_eq!(one(sql), Statement::Show(expected), "{sql}");
    }
}

#[test]
fn describes() {
    let object = |text: &str, formatted| Statement::Describe { target: DescribeTarget::Object(name(text)), formatted };
    for (sql, expected) in [
        ("DESCRIBE db.t", object("db.t", false)),
        ("DESC FORMATTED t", object("t", true)),
        ("DESCRIBE TABLE EXTENDED t", object("t", true)),
        ("DESCRIBE model", object("model", false)),
        ("DESCRIBE formatted", object("formatted", false)),
        ("DESCRIBE MODEL db.m", Statement::Describe { target: DescribeTarget::Model(name("db.m")), formatted: false }),
        ("DESCRIBE DATABASE EXTENDED d", Statement::Describe { target: DescribeTarget::Database("d".into()), formatted: true }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
    for (sql, expected) in
        [("DESCRIBE SELECT 1", "SELECT 1"), ("DESCRIBE 'a/*.csv'", "SELECT * FROM 'a/*.csv'"), ("DESCRIBE QUERY VALUES (1)", "VALUES (1)")]
    {
        let Statement::Describe { target: DescribeTarget::Query(query), .. } = one(sql) else { panic!("{sql}") };
        assert_eq!(query.query.to_string(), expected, "{sql}");
    }
}

#[test]
fn explains() {
    for (sql, analyze, verbose) in [
        ("EXPLAIN SELECT 1", false, false),
        ("EXPLAIN ANALYZE SELECT 1", true, false),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1", true, true),
        ("EXPLAIN EXTENDED SELECT 1", false, true),
        ("EXPLAIN (ANALYZE, VERBOSE false, FORMAT text) SELECT 1", true, false),
        ("EXPLAIN PLAN FOR (SELECT 1)", false, false),
        ("EXPLAIN (SELECT 1)", false, false),
        ("EXPLAIN INSERT INTO t SELECT 1", false, false),
    ] {
        let Statement::Explain(explain) = one(sql) else { panic!("{sql}") };
        assert_eq!((explain.analyze, explain.verbose), (analyze, verbose), "{sql}");
    }
}

#[test]
fn maintenance() {
    for (sql, expected) in [
        ("MSCK REPAIR TABLE t", Statement::MsckRepair { name: name("t") }),
        ("MSCK TABLE t SYNC PARTITIONS", Statement::MsckRepair { name: name("t") }),
        ("REFRESH TABLE db.t", Statement::RefreshTable { name: name("db.t") }),
        ("REFRESH t", Statement::RefreshTable { name: name("t") }),
        ("ANALYZE TABLE t COMPUTE STATISTICS", Statement::AnalyzeTable { name: name("t") }),
        ("ANALYZE TABLE t COMPUTE STATISTICS FOR COLUMNS a, b", Statement::AnalyzeTable { name: name("t") }),
        ("ANALYZE t", Statement::AnalyzeTable { name: name("t") }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}

#[test]
fn users_and_secrets() {
    let password = |text: &str| Some(Password(text.into()));
    let user = |name: &str, password, admin| Statement::CreateUser { name: name.into(), if_not_exists: false, password, admin };
    for (sql, expected) in [
        ("CREATE USER u PASSWORD 'p''q'", user("u", password("p'q"), false)),
        ("CREATE USER \"U v\" WITH PASSWORD 'p' ADMIN", user("U v", password("p"), true)),
        ("CREATE USER 'u' SUPERUSER PASSWORD = 'p'", user("u", password("p"), true)),
        ("CREATE USER u IDENTIFIED BY 'p'", user("u", password("p"), false)),
        ("CREATE USER u", user("u", None, false)),
        ("ALTER USER u PASSWORD 'p'", Statement::AlterUser { name: "u".into(), password: password("p"), admin: None }),
        ("ALTER USER u WITH NOSUPERUSER", Statement::AlterUser { name: "u".into(), password: None, admin: Some(false) }),
        ("DROP USER IF EXISTS u", Statement::DropUser { name: "u".into(), if_exists: true }),
        (
            "CREATE SECRET IF NOT EXISTS s FROM ENV 'PG_PASSWORD'",
            Statement::CreateSecret {
                name: "s".into(),
                or_replace: false,
                if_not_exists: true,
                source: SecretSource::Env("PG_PASSWORD".into()),
            },
        ),
        (
            "CREATE OR REPLACE SECRET s FROM FILE '/run/s'",
            Statement::CreateSecret {
                name: "s".into(),
                or_replace: true,
                if_not_exists: false,
                source: SecretSource::File("/run/s".into()),
            },
        ),
        ("DROP SECRET s", Statement::DropSecret { name: "s".into(), if_exists: false }),
    ] {
        assert_eq!(one(sql), expected, "{sql}");
    }
}
