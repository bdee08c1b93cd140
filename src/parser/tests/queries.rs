//! Queries, ML calls, views, models, INSERT and COPY.

use super::*;
use sqlparser::ast::{SetExpr, TableFactor};

#[test]
fn the_text_of_a_query_is_kept_as_written() {
    for (sql, expected) in [
        ("  select  a -- why\n from t ;", "select  a -- why\n from t"),
        ("/* first */ SELECT 'é;' FROM `ü` -- end", "SELECT 'é;' FROM `ü`"),
        ("(SELECT 1)", "(SELECT 1)"),
        ("VALUES (1), (2)", "VALUES (1), (2)"),
        ("TABLE db.t", "TABLE db.t"),
    ] {
        assert_eq!(query_of(sql).text, expected);
    }
    let Statement::CreateView { query, .. } = one("CREATE VIEW v AS\n SELECT TOP 3 [a b] FROM t;") else { panic!("a view") };
    assert_eq!(query.text, "SELECT TOP 3 [a b] FROM t");
}

#[test]
fn table_alone_is_select_all() {
    check_query("TABLE t", "SELECT * FROM t");
    check_query(
        "WITH x AS (TABLE a) TABLE x UNION ALL TABLE \"Y\"",
        "WITH x AS (SELECT * FROM a) SELECT * FROM x UNION ALL SELECT * FROM \"Y\"",
    );
    check_query("SELECT * FROM (TABLE db.t) x", "SELECT * FROM (SELECT * FROM db.t) x");
}

#[test]
fn a_file_in_from_is_a_name_in_single_quotes() {
    let query = query_of("SELECT * FROM 'dir/*.parquet' AS f");
    let SetExpr::Select(select) = query.query.body.as_ref() else { panic!("a select") };
    let TableFactor::Table { name, .. } = &select.from[0].relation else { panic!("a table") };
    let ident = name.0[0].as_ident().unwrap();
    assert_eq!((name.0.len(), ident.value.as_str(), ident.quote_style), (1, "dir/*.parquet", Some('\'')));
}

#[test]
fn a_table_called_stream_is_still_a_table() {
    check_query("SELECT * FROM stream", "SELECT * FROM stream");
    check_query("SELECT * FROM \"stream\" s", "SELECT * FROM \"stream\" s");
    check_query("SELECT stream FROM stream WHERE stream = 1", "SELECT stream FROM stream WHERE stream = 1");
    check_query("SELECT * FROM stream AS s LEFT JOIN t ON true", "SELECT * FROM stream AS s LEFT JOIN t ON true");
}

#[test]
fn ml_calls_are_taken_out_of_from() {
    let query = query_of(
        "SELECT e.rmse, p.x FROM ML.EVALUATE(MODEL movie_recs, TABLE db.t) AS e \
         JOIN ml.recommend(MODEL lake.m, (SELECT ? AS user_id), STRUCT(10 AS top_k, TRUE AS exclude_seen)) p ON true WHERE a = ?",
    );
    assert_eq!(query.query.to_string(), "SELECT e.rmse, p.x FROM __weir_ml_0 AS e JOIN __weir_ml_1 p ON true WHERE a = $2");
    let [evaluate, recommend] = query.ml_calls.as_slice() else { panic!("two calls") };
    assert_eq!((evaluate.function.as_str(), &evaluate.model), ("evaluate", &name("movie_recs")));
    assert_eq!(evaluate.input.as_ref().unwrap().text, "SELECT * FROM db.t");
    assert!(evaluate.options.is_empty());
    assert_eq!((recommend.function.as_str(), &recommend.model), ("recommend", &name("lake.m")));
    let input = recommend.input.as_ref().unwrap();
    assert_eq!((input.query.to_string().as_str(), input.text.as_str()), ("SELECT $1 AS user_id", "SELECT ? AS user_id"));
    let options = [
        SqlOption { key: "top_k".into(), value: OptionValue::Number("10".into()) },
        SqlOption { key: "exclude_seen".into(), value: OptionValue::Bool(true) },
    ];
    assert_eq!(recommend.options, options);
}

#[test]
fn ml_calls_nest_and_stand_in_subqueries() {
    let query = query_of("SELECT * FROM t WHERE a IN (SELECT b FROM ML.PREDICT(MODEL m, (SELECT * FROM ML.PREDICT(MODEL n, TABLE u))))");
    assert_eq!(query.query.to_string(), "SELECT * FROM t WHERE a IN (SELECT b FROM __weir_ml_0)");
    let input = query.ml_calls[0].input.as_ref().unwrap();
    assert_eq!(input.query.to_string(), "SELECT * FROM __weir_ml_0");
    assert_eq!(input.ml_calls[0].model, name("n"));
    assert!(query_of("SELECT ml.a, \"ML\".f(x), ml FROM ml").ml_calls.is_empty());
}

#[test]
fn inserts() {
    for (sql, table, columns, overwrite, partition, source) in [
        ("INSERT INTO t SELECT 1", "t", "", false, "", "SELECT 1"),
        ("INSERT INTO TABLE db.t (a, `b c`) VALUES (1, 2)", "db.t", "a,b c", false, "", "VALUES (1, 2)"),
        ("INSERT INTO t (SELECT 1)", "t", "", false, "", "(SELECT 1)"),
        ("INSERT INTO t (a) (SELECT 1)", "t", "a", false, "", "(SELECT 1)"),
        ("INSERT OVERWRITE TABLE t PARTITION (dt) SELECT 1", "t", "", true, "dt", "SELECT 1"),
        ("INSERT OVERWRITE t PARTITION (dt = '2026-01-01', h) (a) SELECT 1", "t", "a", true, "dt='2026-01-01',h", "SELECT 1"),
        ("INSERT INTO t TABLE u", "t", "", false, "", "SELECT * FROM u"),
        ("WITH q AS (SELECT 1) INSERT INTO t SELECT * FROM q", "t", "", false, "", "WITH q AS (SELECT 1) SELECT * FROM q"),
        ("INSERT INTO t WITH q AS (SELECT 1) SELECT * FROM q", "t", "", false, "", "WITH q AS (SELECT 1) SELECT * FROM q"),
    ] {
        let Statement::Insert(insert) = one(sql) else { panic!("{sql}") };
        let values = insert.partition.iter().map(|part| match &part.value {
            Some(value) => format!("{}={value}", part.column),
            None => part.column.clone(),
        });
        assert_eq!(
            (
                insert.table,
                insert.columns.join(","),
                insert.overwrite,
                values.collect::<Vec<_>>().join(","),
                insert.source.query.to_string()
            ),
            (name(table), columns.to_owned(), overwrite, partition.to_owned(), source.to_owned()),
            "{sql}"
        );
    }
    let Statement::Insert(insert) = one("INSERT INTO t VALUES (?, ?)") else { panic!("an insert") };
    assert_eq!((insert.source.n_parameters, insert.source.query.to_string().as_str()), (2, "VALUES ($1, $2)"));
}

#[test]
fn copies() {
    for (sql, source, stored_as, partitioned_by, options) in [
        ("COPY (SELECT a FROM t) TO 'f' STORED AS CSV", "SELECT a FROM t", Some("CSV"), "", vec![]),
        ("COPY db.t TO 'f'", "SELECT * FROM db.t", None, "", vec![]),
        ("COPY t (a, b) TO 'f'", "SELECT a, b FROM t", None, "", vec![]),
        ("COPY t TO 'f' OPTIONS ('delimiter' '|') PARTITIONED BY (dt)", "SELECT * FROM t", None, "dt", vec![text_option("delimiter", "|")]),
        (
            "COPY t TO 'f' WITH (FORMAT csv, HEADER, DELIMITER ';')",
            "SELECT * FROM t",
            Some("CSV"),
            "",
            vec![SqlOption { key: "HEADER".into(), value: OptionValue::Bool(true) }, text_option("DELIMITER", ";")],
        ),
    ] {
        let Statement::CopyTo(copy) = one(sql) else { panic!("{sql}") };
        assert_eq!(copy.target, "f");
        assert_eq!(
            (copy.source.query.to_string().as_str(), copy.stored_as.as_deref(), copy.partitioned_by.join(",").as_str(), copy.options),
            (source, stored_as, partitioned_by, options),
            "{sql}"
        );
    }
}

#[test]
fn the_model_of_the_design_parses() {
    let sql = "CREATE OR REPLACE MODEL movie_recs
OPTIONS (model_type='matrix_factorization',      -- alias 'als'
  user_col='user_id', num_factors=HPARAM_CANDIDATES([10, 20, 40]),   -- alias rank
  regParam=HPARAM_RANGE(0.01, 1.0), max_iterations=15, nonnegative=TRUE, seed=-42,
  num_trials=12, hparam_tuning_objectives=['rmse'], input_label_cols=[Churn], warm_start=NULL)
AS SELECT user_id, movie_id, rating FROM clean_ratings;";
    let Statement::CreateModel(model) = one(sql) else { panic!("a model") };
    let number = |text: &str| OptionValue::Number(text.into());
    let text = |text: &str| OptionValue::Text(text.into());
    let expected = [
        ("model_type", text("matrix_factorization")),
        ("user_col", text("user_id")),
        (
            "num_factors",
            OptionValue::Call("HPARAM_CANDIDATES".into(), vec![OptionValue::List(vec![number("10"), number("20"), number("40")])]),
        ),
        ("regParam", OptionValue::Call("HPARAM_RANGE".into(), vec![number("0.01"), number("1.0")])),
        ("max_iterations", number("15")),
        ("nonnegative", OptionValue::Bool(true)),
        ("seed", number("-42")),
        ("num_trials", number("12")),
        ("hparam_tuning_objectives", OptionValue::List(vec![text("rmse")])),
        ("input_label_cols", OptionValue::List(vec![text("Churn")])),
        ("warm_start", OptionValue::Null),
    ];
    assert_eq!(model.options, expected.map(|(key, value)| SqlOption { key: key.into(), value }));
    assert!(model.or_replace && model.name == name("movie_recs"));
    assert_eq!(model.query.unwrap().text, "SELECT user_id, movie_id, rating FROM clean_ratings");
    assert_eq!(one("DROP MODEL IF EXISTS db.m"), Statement::DropModel { name: name("db.m"), if_exists: true });
    let version = AlterModel::SetDefaultVersion(3);
    assert_eq!(one("ALTER MODEL db.m SET DEFAULT VERSION 3"), Statement::AlterModel { name: name("db.m"), action: version });
    assert_eq!(one("ALTER MODEL m RENAME TO n"), Statement::AlterModel { name: name("m"), action: AlterModel::Rename(name("n")) });
    for sql in ["EXPORT MODEL m TO '/data/m'", "EXPORT MODEL m OPTIONS (URI = '/data/m')"] {
        assert_eq!(one(sql), Statement::ExportModel { name: name("m"), target: "/data/m".into() }, "{sql}");
    }
}

#[test]
fn views() {
    let Statement::CreateView { name: view, or_replace, columns, comment, query, .. } =
        one("CREATE OR REPLACE VIEW db.v (a, \"B c\") COMMENT 'about' AS (SELECT 1, 2)")
    else {
        panic!("a view")
    };
    assert_eq!((view, or_replace, columns.join(","), comment.as_deref()), (name("db.v"), true, "a,B c".into(), Some("about")));
    assert_eq!(query.query.to_string(), "(SELECT 1, 2)");
}
