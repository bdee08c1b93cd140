//! The model functions in SQL, on a recommender that is easy to compute by hand.

use super::model::{Contribution, Given, ItemScore, ModelLookup, RecommendOptions, Recommender, model_functions};
use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::prelude::SessionContext;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Knows users 1 to 3 and items 'a' to 'e'; user u has seen the first u items; later items score higher.
#[derive(Debug)]
struct Alphabet;

const ITEMS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn user_of(value: &ScalarValue) -> Option<i64> {
    value.cast_to(&DataType::Int64).ok().and_then(|value| match value {
        ScalarValue::Int64(user) => user.filter(|user| (1..=3).contains(user)),
        _ => None,
    })
}

impl Recommender for Alphabet {
    fn user_column(&self) -> (&str, &DataType) {
        ("user_id", &DataType::Int64)
    }
    fn item_column(&self) -> (&str, &DataType) {
        ("letter", &DataType::Utf8)
    }
    fn rating_column(&self) -> &str {
        "rating"
    }
    fn is_implicit(&self) -> bool {
        false
    }
    fn recommend(&self, user: &ScalarValue, k: usize, options: &RecommendOptions) -> Result<Vec<ItemScore>> {
        let Some(user) = user_of(user) else { return Ok(Vec::new()) };
        let seen = if options.exclude_seen { user as usize } else { 0 };
        let allowed = options.items.as_ref().map(|items| items.as_string::<i32>());
        let is_allowed = |item: &str| allowed.is_none_or(|allowed| allowed.iter().flatten().any(|allowed| allowed == item));
        let best = ITEMS.iter().enumerate().skip(seen).rev().filter(|(_, item)| is_allowed(item)).take(k).zip(1..);
        Ok(best.map(|((place, item), rank)| ItemScore { item: (*item).into(), score: place as f64, rank }).collect())
    }
    /// The item with the highest rating, with that rating.
    fn recommend_from(&self, given: &Given, k: usize, _: &RecommendOptions) -> Result<Vec<ItemScore>> {
        let rating = |row: usize| given.ratings.as_ref().map_or(1.0, |ratings| ratings.value(row));
        let mut rows: Vec<usize> = (0..given.items.len()).collect();
        rows.sort_by(|left, right| rating(*right).total_cmp(&rating(*left)));
        let items = given.items.as_string::<i32>();
        Ok(rows
            .iter()
            .take(k)
            .zip(1..)
            .map(|(row, rank)| ItemScore { item: items.value(*row).into(), score: rating(*row), rank })
            .collect())
    }
    /// The items that follow in the alphabet.
    fn similar_items(&self, item: &ScalarValue, k: usize) -> Result<Vec<ItemScore>> {
        let place = item.try_as_str().flatten().and_then(|item| ITEMS.iter().position(|known| *known == item)).unwrap_or(ITEMS.len());
        Ok(ITEMS.iter().skip(place + 1).take(k).zip(1..).map(|(item, rank)| ItemScore { item: (*item).into(), score: 0.5, rank }).collect())
    }
    fn similar_users(&self, user: &ScalarValue, k: usize) -> Result<Vec<ItemScore>> {
        let others = (1..=3i64).filter(|other| Some(*other) != user_of(user)).take(k).zip(1..);
        Ok(others.map(|(other, rank)| ItemScore { item: other.into(), score: 0.25, rank }).collect())
    }
    fn explain(&self, user: &ScalarValue, _: &ScalarValue, k: usize) -> Result<Vec<Contribution>> {
        let seen = user_of(user).unwrap_or(0) as usize;
        let past = |item: &&str| Contribution { item: (*item).into(), rating: 4.0, contribution: 1.5, share: 1.0 / seen as f64 };
        Ok(ITEMS[..seen].iter().take(k).map(past).collect())
    }
    fn predict(&self, user: &ScalarValue, item: &ScalarValue) -> Result<Option<f64>> {
        let place = item.try_as_str().flatten().and_then(|item| ITEMS.iter().position(|known| *known == item));
        Ok(user_of(user).zip(place).map(|(user, place)| user as f64 * 10.0 + place as f64))
    }
}

#[derive(Debug, Default)]
struct Lookup {
    calls: AtomicUsize,
}

impl ModelLookup for Lookup {
    fn recommender(&self, name: &str) -> Result<Arc<dyn Recommender>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if name == "m" { Ok(Arc::new(Alphabet)) } else { plan_err!("model \"{name}\" does not exist") }
    }
}

fn context() -> (SessionContext, Arc<Lookup>) {
    let context = SessionContext::new();
    let lookup = Arc::new(Lookup::default());
    let (scalar, table) = model_functions(Arc::clone(&lookup) as Arc<dyn ModelLookup>);
    for function in scalar {
        context.register_udf(function);
    }
    for (name, function) in table {
        context.register_udtf(name, function);
    }
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int32, true),
        Field::new("letter", DataType::Utf8, true),
        Field::new("k", DataType::Int64, true),
    ]);
    let users = Int32Array::from(vec![Some(1), Some(3), None, Some(9)]);
    let letters = StringArray::from(vec![Some("a"), Some("e"), Some("a"), Some("z")]);
    let counts = Int64Array::from(vec![1, 2, 1, 1]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(users), Arc::new(letters), Arc::new(counts)]).unwrap();
    context.register_batch("users", batch).unwrap();
    (context, lookup)
}

async fn run(sql: &str) -> Result<String> {
    let (context, _) = context();
    let batches = context.sql(sql).await?.collect().await?;
    let text = pretty_format_batches(&batches)?.to_string();
    // Rows only, cells joined by a bar.
    let rows: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    Ok(rows.join(" "))
}

#[tokio::test]
async fn misuse_is_refused_with_what_to_do() {
    let cases = [
        ("SELECT * FROM recommend('m', 1)", "2 given"),
        ("SELECT * FROM recommend('x', 1, 5)", "model \"x\" does not exist"),
        ("SELECT * FROM recommend(5, 1, 5)", "a model's name in quotes, not 5"),
        ("SELECT * FROM recommend($1, 1, 5)", "not a parameter"),
        ("SELECT * FROM recommend('m', 'x', 5)", "\"user_id\" holds integers, the argument is of type VARCHAR"),
        ("SELECT * FROM recommend('m', 1.5, 5)", "\"user_id\" holds integers"),
        ("SELECT * FROM recommend('m', 1, 0)", "must be from 1 to 10000, not 0"),
        ("SELECT * FROM recommend('m', 1, -3)", "must be from 1 to 10000, not -3"),
        ("SELECT * FROM recommend('m', 1, 10001)", "must be from 1 to 10000, not 10001"),
        ("SELECT * FROM recommend('m', 1, 'ten')", "must be an integer"),
        ("SELECT * FROM recommend('m', 1, NULL)", "must be an integer"),
        ("SELECT * FROM recommend('m', 1, 5, 7)", "must be TRUE or FALSE, not 7"),
        ("SELECT * FROM recommend('m', $1, 5)", "a parameter of recommend has no value"),
        ("SELECT * FROM recommend('m', 1, 5, TRUE, 'a')", "the items of recommend must be a list"),
        ("SELECT * FROM recommend('m', 1, 5, TRUE, [1])", "\"letter\" holds strings"),
        ("SELECT * FROM recommend_from('m', ['a'], [1.0, 2.0], 5)", "1 items and 2 ratings"),
        ("SELECT * FROM recommend_from('m', ['a'], ['x'], 5)", "must be a list of numbers"),
        ("SELECT * FROM recommend_from('m', 'a', 1.0, 5)", "the items of recommend_from must be a list"),
        ("SELECT * FROM similar_items('m', 1, 5)", "\"letter\" holds strings"),
        ("SELECT * FROM similar_items('m', 'a')", "2 given"),
        ("SELECT * FROM similar_users('m', 'a', 5)", "\"user_id\" holds integers"),
        ("SELECT * FROM similar_users($1, 1, 5)", "not a parameter"),
        ("SELECT * FROM explain_recommendation('m', 1, 'a', 0)", "must be from 1 to 10000, not 0"),
        ("SELECT * FROM explain_recommendation('x', 1, 'a')", "model \"x\" does not exist"),
        ("SELECT * FROM users u, similar_items('m', u.letter, 2)", "must be literals or parameters"),
        ("SELECT recommend_items('m', id, 1, TRUE, [1]) FROM users", "\"letter\" holds strings"),
        ("SELECT recommend_items('x', id, 5) FROM users", "model \"x\" does not exist"),
        ("SELECT recommend_items(letter, id, 5) FROM users", "not a column or a parameter"),
        ("SELECT recommend_items('m', letter, 5) FROM users", "\"user_id\" holds integers"),
        ("SELECT recommend_items('m', id, 0) FROM users", "must be from 1 to 10000, not 0"),
        ("SELECT recommend_items('m', id, k - 1) FROM users", "must be from 1 to 10000, not 0"),
        ("SELECT recommend_items('m', id, letter) FROM users", "must be an integer"),
        ("SELECT recommend_items('m', id, 1, 'no') FROM users", "must be TRUE or FALSE"),
        ("SELECT als_predict('m', id, id) FROM users", "\"letter\" holds strings, the argument is of type BIGINT. CAST it to VARCHAR"),
        ("SELECT als_predict('x', id, letter) FROM users", "model \"x\" does not exist"),
    ];
    for (sql, expected) in cases {
        match run(sql).await {
            Ok(rows) => panic!("{sql} gave {rows}"),
            Err(error) => assert!(error.to_string().contains(expected), "{sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn column_arguments_of_the_table_function_point_to_recommend_items() {
    for sql in [
        "SELECT * FROM users u, recommend('m', u.id, 2)",
        "SELECT * FROM recommend('m', id, 2)",
        "SELECT * FROM users u, LATERAL recommend('m', u.id, 2)",
        "SELECT * FROM users u CROSS JOIN LATERAL recommend('m', u.id, 2) r",
    ] {
        let error = run(sql).await.unwrap_err().to_string();
        assert!(error.contains("unnest(recommend_items("), "{sql}: {error}");
    }
}

#[tokio::test]
async fn functions_answer_in_sql() {
    let cases = [
        ("SELECT letter, score, rank FROM recommend('m', 1, 2)", "e|4.0|1 d|3.0|2"),
        ("SELECT * FROM recommend('m', 3, 10)", "e|4.0|1 d|3.0|2"),
        ("SELECT * FROM recommend('m', 3, 3, FALSE)", "e|4.0|1 d|3.0|2 c|2.0|3"),
        ("SELECT rank FROM recommend('m', 1, 1 + 1) ORDER BY rank DESC", "2 1"),
        ("SELECT * FROM recommend('m', 99, 3)", ""),
        ("SELECT * FROM recommend('m', 1, 3, TRUE, ['a', 'c', 'x', 'd'])", "d|3.0|1 c|2.0|2"),
        ("SELECT * FROM recommend('m', 1, 1, TRUE, NULL)", "e|4.0|1"),
        ("SELECT * FROM recommend_from('m', ['a', 'b'], [3, 4.5], 2)", "b|4.5|1 a|3.0|2"),
        ("SELECT * FROM recommend_from('m', ['a'], NULL, 2)", "a|1.0|1"),
        ("SELECT * FROM similar_items('m', 'c', 5)", "d|0.5|1 e|0.5|2"),
        ("SELECT * FROM similar_items('m', NULL, 5)", ""),
        ("SELECT user_id, rank FROM similar_users('m', 2, 5)", "1|1 3|2"),
        ("SELECT letter, rating, contribution, share FROM explain_recommendation('m', 2, 'e')", "a|4.0|1.5|0.5 b|4.0|1.5|0.5"),
        ("SELECT count(*) FROM explain_recommendation('m', 3, 'e', 1)", "1"),
        ("SELECT recommend_items('m', 1, 5, TRUE, ['b'])", "[{item: b, score: 1.0, rank: 1}]"),
        ("SELECT * FROM recommend('m', NULL, 3)", ""),
        ("SELECT count(*) FROM recommend('m', 1, 10000)", "4"),
        (
            "SELECT id, recommend_items('m', id, k) AS r FROM users ORDER BY id",
            "1|[{item: e, score: 4.0, rank: 1}] 3|[{item: e, score: 4.0, rank: 1}, {item: d, score: 3.0, rank: 2}] 9|[] |",
        ),
        ("SELECT recommend_items('m', 3, 1)", "[{item: e, score: 4.0, rank: 1}]"),
        ("SELECT recommend_items('m', NULL, 1)", ""),
        ("SELECT cardinality(recommend_items('m', id, 5, FALSE)) FROM users WHERE id = 3", "5"),
        ("SELECT r['item'], r['rank'] FROM (SELECT unnest(recommend_items('m', id, 2)) AS r FROM users WHERE id = 1)", "e|1 d|2"),
        ("SELECT als_predict('m', id, letter) FROM users ORDER BY id", "10.0 34.0  "),
        ("SELECT als_predict('m', 2, 'c')", "22.0"),
        ("SELECT als_predict('m', 2, NULL)", ""),
        // Twice in one query, in a predicate, and grouped.
        ("SELECT count(*) FROM users WHERE als_predict('m', id, 'a') > 15", "1"),
        ("SELECT als_predict('m', id, 'a') AS p, count(*) FROM users GROUP BY 1 ORDER BY 1", "10.0|1 30.0|1 |2"),
    ];
    for (sql, expected) in cases {
        match run(sql).await {
            Ok(rows) => assert_eq!(rows, expected, "{sql}"),
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}

#[tokio::test]
async fn the_model_is_looked_up_when_planning_and_never_when_running() {
    let (context, lookup) = context();
    let frame = context.sql("SELECT als_predict('m', id, letter), recommend_items('m', id, 2) FROM users").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let planned = lookup.calls.load(Ordering::Relaxed);
    assert!(planned > 0);
    datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(lookup.calls.load(Ordering::Relaxed), planned);
}

#[tokio::test]
async fn a_parameter_leaves_the_schema_known() {
    let (context, _) = context();
    let plan = context.state().create_logical_plan("SELECT * FROM recommend('m', $1, $2)").await.unwrap();
    let names: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["letter", "score", "rank"]);
    let plan = context.state().create_logical_plan("SELECT recommend_items('m', $1, 3) FROM users").await.unwrap();
    assert!(matches!(plan.schema().field(0).data_type(), DataType::List(_)));
}
