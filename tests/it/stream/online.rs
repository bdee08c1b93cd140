//! Recommenders that follow a stream between trainings: new rows are folded in, each once, whatever happens to the server.

use super::*;

/// 30 users and 20 movies in two tastes: even users like even movies, odd users odd ones. Nobody has rated the movies of his
/// number modulo 5. Ratings are sixteenths: exact in every type, and no two movies are alike.
const HISTORY: &str = "INSERT INTO history SELECT u, i * 10, CASE WHEN (u + i) % 2 = 0 THEN 4.0 ELSE 1.0 END + (u * 7 + i * 3) % 16 / 16.0 \
     FROM generate_series(0, 29) AS users(u) CROSS JOIN generate_series(0, 19) AS items(i) WHERE i % 5 <> u % 5";
const HISTORY_ROWS: u64 = 480;
/// The table at rest and the stream.
const EVERY: &str = "SELECT user_id, movie_id, rating FROM history UNION ALL SELECT user_id, movie_id, rating FROM ratings_live";
/// The option that makes a model follow.
const FOLLOWING: &str = ", online_update=TRUE";
/// Every rating that a model predicts, in the form of a list.
const PREDICTIONS: &str = "SELECT i * 10 AS movie_id, als_predict('m', u, i * 10) AS score, u AS user_id \
     FROM generate_series(0, 29) AS users(u) CROSS JOIN generate_series(0, 19) AS items(i) ORDER BY user_id, movie_id";

/// The statement that trains a model; `options` end its list.
fn create_model(name: &str, options: &str, query: &str) -> String {
    let kind = "model_type='matrix_factorization', rank=4, regParam=0.1, seed=1, data_split_method='no_split'";
    format!("CREATE OR REPLACE MODEL {name} OPTIONS ({kind}{options}) AS {query}")
}

/// `history`, filled, and the streaming table `ratings_live` over a new topic, which is returned.
async fn create_tables(client: &mut Client, kafka: &Kafka, commit_interval: &str) -> String {
    let topic = unique("online");
    kafka.create_topic(&topic, 2, &[]).await;
    ask(client, "CREATE TABLE history (user_id BIGINT, movie_id BIGINT, rating DOUBLE)").await;
    ask(client, HISTORY).await;
    create_stream(client, kafka, "ratings_live", &topic, commit_interval).await;
    topic
}

async fn create_stream(client: &mut Client, kafka: &Kafka, table: &str, topic: &str, commit_interval: &str) {
    let sql = format!(
        "CREATE STREAMING TABLE {table} (user_id BIGINT, movie_id BIGINT, rating DOUBLE) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
         'properties.bootstrap.servers' = '{}', 'format' = 'json', 'commit.interval' = '{commit_interval}')",
        kafka.bootstrap()
    );
    ask(client, &sql).await;
}

/// A record of the stream.
fn rating(user: u64, movie: u64, rating: f64) -> String {
    format!(r#"{{"user_id":{user},"movie_id":{movie},"rating":{rating:?}}}"#)
}

/// The answer to a statement that has one.
async fn ask(client: &mut Client, sql: &str) -> Vec<String> {
    client.rows(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error}"))
}

/// What `system.model_updates` counts of a model.
fn counts(model: &str) -> String {
    let columns = r#"state, version, "rows", users, new_users, unknown_items, rows_skipped"#;
    format!("SELECT {columns} FROM system.model_updates WHERE model_name = '{model}'")
}

/// Rows that the training of a model's default version saw.
async fn rows_train(client: &mut Client, model: &str) -> u64 {
    let described = ask(client, &format!("DESCRIBE MODEL {model}")).await;
    let count = described.iter().find_map(|row| row.strip_prefix("rows_train\t")?.parse().ok());
    count.unwrap_or_else(|| panic!("no rows_train in {described:?}"))
}

/// Two lists of item, score and something else are the same, but for the rounding of scores.
fn assert_same_list(found: &[String], expected: &[String], rounding: f64, what: &str) {
    let cells = |row: &str| -> Vec<f64> { row.split('\t').map(|cell| cell.parse().unwrap_or(f64::NAN)).collect() };
    let is_same = |(found, expected): (&String, &String)| {
        let (found, expected) = (cells(found), cells(expected));
        found[0] == expected[0] && (found[1] - expected[1]).abs() <= rounding && found[2] == expected[2]
    };
    let are_same = !found.is_empty() && found.len() == expected.len() && found.iter().zip(expected).all(is_same);
    assert!(are_same, "{what}\nfound    {found:?}\nexpected {expected:?}");
}

/// The items of a list with their scores and ranks; `call` is a table function.
async fn list(client: &mut Client, score: &str, call: &str) -> Vec<String> {
    ask(client, &format!("SELECT movie_id, {score}, rank FROM {call} ORDER BY rank")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn recommendations_follow_the_stream() {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    // No row is committed while the test looks.
    let topic = create_tables(&mut client, kafka, "1 h").await;
    ask(&mut client, "CREATE TABLE movies AS SELECT value * 10 AS movie_id, 0.5 AS weight FROM generate_series(0, 9) AS t(value)").await;
    let rated = format!("SELECT user_id, movie_id, rating FROM ({EVERY}) AS e WHERE rating IS NULL OR rating > 0");
    ask(&mut client, &format!("CREATE VIEW rated AS {rated}")).await;
    // These are part of the trainings.
    let before = [rating(100, 0, 5.0), rating(100, 20, 4.5), rating(100, 30, 1.0), rating(100, 50, 1.5)];
    kafka.produce(&topic, None, before).await;
    until(&mut client, "SELECT count(*) FROM ratings_live", "4").await;
    let of_movies = format!(
        "WITH films AS (SELECT r.user_id, r.movie_id, r.rating FROM ratings_live AS r JOIN movies AS m ON m.movie_id = r.movie_id \
         WHERE r.rating > 0) {}",
        EVERY.replace("ratings_live", "films")
    );
    let weighted = format!(
        "SELECT r.user_id, r.movie_id, r.rating * coalesce(m.weight, 1) AS rating FROM ({EVERY}) AS r \
         LEFT JOIN movies AS m ON m.movie_id = r.movie_id WHERE r.rating > 0"
    );
    let viewed = "SELECT user_id, movie_id, rating FROM rated";
    let models = [
        ("m", FOLLOWING, viewed),
        ("still", "", viewed),
        ("of_movies", FOLLOWING, of_movies.as_str()),
        ("weighted", FOLLOWING, weighted.as_str()),
    ];
    for (name, options, query) in models {
        ask(&mut client, &create_model(name, options, query)).await;
        assert_eq!(rows_train(&mut client, name).await, HISTORY_ROWS + 4, "{name}");
    }

    let events = [
        // Movies that the user had not rated, one that he had, and one more of a user who was in the stream before.
        rating(2, 70, 5.0),
        rating(2, 120, 1.0),
        rating(6, 0, 1.0),
        rating(6, 10, 4.0),
        rating(100, 60, 5.0),
        // A new user, who rates a movie twice and one that the models do not know.
        rating(200, 40, 5.0),
        rating(200, 80, 4.5),
        rating(200, 130, 1.0),
        rating(200, 40, 4.0),
        rating(200, 999, 5.0),
        // Skipped, both of them; the filters of the joins drop the first.
        r#"{"user_id":3,"movie_id":30,"rating":null}"#.to_owned(),
        r#"{"movie_id":50,"rating":5.0}"#.to_owned(),
        // Every filter drops it.
        rating(5, 50, -1.0),
    ];
    kafka.produce(&topic, None, events).await;
    until(&mut client, &counts("m"), "following\t1\t9\t4\t1\t1\t2").await;
    // Only the movies below 100 are in the table; a left join leaves out none.
    until(&mut client, &counts("of_movies"), "following\t1\t7\t4\t1\t0\t1").await;
    until(&mut client, &counts("weighted"), "following\t1\t9\t4\t1\t1\t1").await;
    let others = "SELECT min(memory_bytes) > 0, count(updated), count(last_error), min(database_name) FROM system.model_updates";
    assert_eq!(ask(&mut client, others).await, ["true\t3\t0\tpublic"]);
    assert!(ask(&mut client, &counts("still")).await.is_empty(), "a model that follows nothing");

    // What follows from all rows of a user is what the model that stands still makes of them.
    for user in [2, 6, 100, 200] {
        let rows = ask(&mut client, &format!("SELECT movie_id, rating FROM rated WHERE user_id = {user}")).await;
        let (items, ratings): (Vec<&str>, Vec<&str>) = rows.iter().map(|row| row.split_once('\t').expect("two columns")).unzip();
        let given = format!("[{}], [{}]", items.join(", "), ratings.join(", "));
        for rest in ["5", "20, FALSE"] {
            let found = list(&mut client, "score", &format!("recommend('m', {user}, {rest})")).await;
            let solved = list(&mut client, "score", &format!("recommend_from('still', {given}, {rest})")).await;
            assert_same_list(&found, &solved, 1e-4, &format!("user {user}, {rest}"));
        }
    }
    for options in ["10 AS top_k", "20 AS top_k, FALSE AS exclude_seen"] {
        let of = |model: &str, rows: &str| format!("ML.RECOMMEND(MODEL {model}, ({rows}), STRUCT({options}))");
        let found = list(&mut client, "predicted_rating", &of("m", "SELECT 2 AS user_id")).await;
        let new_rows = "SELECT user_id, movie_id, rating FROM ratings_live WHERE user_id = 2";
        let solved = list(&mut client, "predicted_rating", &of("still", new_rows)).await;
        assert_same_list(&found, &solved, 1e-4, options);
        let before = list(&mut client, "predicted_rating", &of("still", "SELECT 2 AS user_id")).await;
        assert_ne!(found, before, "the new rows change his list");
        // Nothing happened to user 5.
        let untouched = list(&mut client, "predicted_rating", &of("m", "SELECT 5 AS user_id")).await;
        let before = list(&mut client, "predicted_rating", &of("still", "SELECT 5 AS user_id")).await;
        assert_eq!(untouched, before, "{options}");
    }
    let recommended = list(&mut client, "score", "recommend('m', 200, 5)").await;
    let sql = "SELECT item['item'], item['score'], item['rank'] FROM (SELECT unnest(recommend_items('m', user_id, 5)) AS item \
               FROM (VALUES (200)) AS u (user_id)) AS lists ORDER BY item['rank']";
    assert_same_list(&ask(&mut client, sql).await, &recommended, 1e-9, "recommend_items");
    for (sql, expected) in [
        ("SELECT count(*) FROM recommend('m', 2, 20) WHERE movie_id IN (70, 120)", "0"),
        ("SELECT als_predict('m', 200, 60) IS NULL, als_predict('still', 200, 60) IS NULL", "false\ttrue"),
        ("SELECT predicted_rating = als_predict('m', 200, 60) FROM ML.PREDICT(MODEL m, (SELECT 200 AS user_id, 60 AS movie_id))", "true"),
        ("SELECT count(DISTINCT user_id), count(*) FILTER (WHERE user_id = 200) FROM ML.RECOMMEND(MODEL m, STRUCT(3 AS top_k))", "32\t3"),
        ("SELECT count(*) FILTER (WHERE user_id = 200) > 0 FROM ML.RECOMMEND(MODEL m)", "true"),
        ("SELECT count(DISTINCT user_id) FROM ML.RECOMMEND(MODEL still)", "31"),
        ("SELECT count(DISTINCT movie_id), min(rating), max(rating) FROM explain_recommendation('m', 200, 60)", "3\t1.0\t5.0"),
        // He likes even movies. The others are near him, and he to them.
        ("SELECT count(*) FILTER (WHERE user_id % 2 = 0), count(*) FROM similar_users('m', 200, 5)", "5\t5"),
        ("SELECT count(*) FROM similar_users('m', 0, 40) WHERE user_id = 200", "1"),
        ("SELECT count(*) FROM similar_users('still', 200, 5)", "0"),
    ] {
        assert_eq!(ask(&mut client, sql).await, [expected], "{sql}");
    }
}

/// A producer on a thread of its own: some 200 ratings a second by the users of the history, until it is stopped.
fn start_rating(kafka: &Kafka, topic: &str) -> Producing {
    let (stop, n_sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (sender, stopped, counted) = (kafka.sender(topic), Arc::clone(&stop), Arc::clone(&n_sent));
    let thread = std::thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            let record = rating(n % 30, n / 30 % 20 * 10, (1 + n / 7 % 5) as f64);
            sender.send(Some((n / 3 % 2) as i32), &Record::from(record));
            std::thread::sleep(Duration::from_millis(5));
        }
        sender.flush();
    });
    Producing { stop, n_sent, thread: Some(thread) }
}

/// Waits until more than so many rows are folded in; returns how many.
async fn folded(client: &mut Client, more_than: u64) -> u64 {
    let is_reached = |row: &str| row.parse::<u64>().is_ok_and(|n| n > more_than);
    let rows = until_it(client, r#"SELECT "rows" FROM system.model_updates"#, &format!("more than {more_than}"), is_reached).await;
    rows.parse().unwrap()
}

/// Waits until the stream has everything that was sent, and each row was either trained on or folded in.
async fn settled(client: &mut Client, n_sent: u64, rows_train: u64) {
    until(client, "SELECT count(*) FROM ratings_live", &n_sent.to_string()).await;
    until(client, "SELECT state, lag_messages FROM system.streams", "running\t0").await;
    let more_than_once = format!(
        r#"SELECT "rows" + {rows_train} - (SELECT count(*) FROM history) - (SELECT count(*) FROM ratings_live) FROM system.model_updates"#
    );
    until(client, &more_than_once, "0").await;
    // It stays so.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(client, &more_than_once).await, ["0"], "{n_sent} sent, {rows_train} trained on");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_folded_in_once_whatever_happens_to_the_server() {
    let kafka = Kafka::shared().await;
    let mut server = Server::start();
    let mut client = server.client().await;
    let topic = create_tables(&mut client, kafka, "300 ms").await;
    let producing = start_rating(kafka, &topic);
    let is_begun = |row: &str| row.parse::<u64>().is_ok_and(|n| n >= 100);
    until_it(&mut client, "SELECT count(*) FROM ratings_live", "100 or more", is_begun).await;
    ask(&mut client, &create_model("m", FOLLOWING, EVERY)).await;
    // Killed (-9) at once: some of the rows that the training saw are perhaps in no commit yet.
    server = server.restart();
    let mut client = server.client().await;
    let rows_train = rows_train(&mut client, "m").await;
    assert!(rows_train >= HISTORY_ROWS + 100, "{rows_train} rows were trained on");
    let n_folded = folded(&mut client, 200).await;
    drop(client);
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    // The next server is killed while it folds in again what was there.
    server = server.restart();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server = server.restart();
    let mut client = server.client().await;
    folded(&mut client, n_folded + 200).await;

    let counted = Arc::clone(&producing.n_sent);
    producing.stop();
    let n_sent = counted.load(Ordering::SeqCst);
    settled(&mut client, n_sent, rows_train).await;
    let others = "SELECT state, users, new_users, unknown_items, rows_skipped, last_error IS NULL FROM system.model_updates";
    assert_eq!(ask(&mut client, others).await, ["following\t30\t0\t0\t0\ttrue"]);
    // Folded in piece by piece, or all at once after a start: the factors are the same.
    let predictions = ask(&mut client, PREDICTIONS).await;
    let server = server.restart();
    let mut client = server.client().await;
    settled(&mut client, n_sent, rows_train).await;
    assert_same_list(&ask(&mut client, PREDICTIONS).await, &predictions, 1e-3, "after the last start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_starts_from_its_own_training() {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    let topic = create_tables(&mut client, kafka, "300 ms").await;
    ask(&mut client, &create_model("m", FOLLOWING, EVERY)).await;
    let events = [rating(200, 40, 5.0), rating(200, 80, 4.5), rating(200, 130, 1.0), rating(2, 70, 5.0)];
    kafka.produce(&topic, None, events).await;
    until(&mut client, &counts("m"), "following\t1\t4\t2\t1\t0\t0").await;

    ask(&mut client, &create_model("m", FOLLOWING, EVERY)).await;
    assert_eq!(rows_train(&mut client, "m").await, HISTORY_ROWS + 4);
    until(&mut client, &counts("m"), "following\t2\t0\t0\t0\t0\t0").await;
    let knows_him = "SELECT als_predict('m', 200, 60) IS NOT NULL";
    assert_eq!(ask(&mut client, knows_him).await, ["true"], "he is of the training now");
    kafka.produce(&topic, None, [rating(200, 100, 5.0)]).await;
    until(&mut client, &counts("m"), "following\t2\t1\t1\t0\t0\t0").await;

    // Back, through a start and forth: each version has the rows since its own training.
    ask(&mut client, "ALTER MODEL m SET DEFAULT VERSION 1").await;
    until(&mut client, &counts("m"), "following\t1\t5\t2\t1\t0\t0").await;
    assert_eq!(ask(&mut client, knows_him).await, ["true"], "he is folded in again");
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, &counts("m"), "following\t1\t5\t2\t1\t0\t0").await;
    ask(&mut client, "ALTER MODEL m SET DEFAULT VERSION 2").await;
    until(&mut client, &counts("m"), "following\t2\t1\t1\t0\t0\t0").await;

    // A version without the option follows nothing.
    ask(&mut client, &create_model("m", "", EVERY)).await;
    until(&mut client, "SELECT model_name FROM system.model_updates", "").await;
    ask(&mut client, "ALTER MODEL m SET DEFAULT VERSION 2").await;
    until(&mut client, &counts("m"), "following\t2\t1\t1\t0\t0\t0").await;
    ask(&mut client, "DROP MODEL m").await;
    until(&mut client, "SELECT model_name FROM system.model_updates", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_are_those_that_a_training_would_read() {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    create_tables(&mut client, kafka, "1 h").await;
    let topic = unique("whole");
    kafka.create_topic(&topic, 1, &[]).await;
    let sql = format!(
        "CREATE STREAMING TABLE whole_live (user_id INT, movie_id INT, rating INT) WITH ('connector' = 'kafka', 'topic' = '{topic}', \
         'properties.bootstrap.servers' = '{}', 'format' = 'json', 'commit.interval' = '300 ms')",
        kafka.bootstrap()
    );
    ask(&mut client, &sql).await;
    // The table at rest makes the ratings DOUBLE, wherever it stands: half of 5 is not 2.
    let halves = "SELECT user_id, movie_id, rating / 2 AS rating FROM (SELECT user_id, movie_id, 4 AS rating FROM history WHERE user_id < 0 \
         UNION ALL SELECT user_id, movie_id, CASE WHEN rating > 4 THEN rating ELSE 0.5 END FROM whole_live UNION ALL SELECT * FROM history)";
    ask(&mut client, &create_model("m", FOLLOWING, halves)).await;
    kafka.produce(&topic, Some(0), [r#"{"user_id":200,"movie_id":10,"rating":5}"#]).await;
    until(&mut client, &counts("m"), "following\t1\t1\t1\t1\t0\t0").await;
    assert_eq!(ask(&mut client, "SELECT rating FROM explain_recommendation('m', 200, 20)").await, ["2.5"]);

    // What is read once more is a row once more, to the table and to the model; also where the training had it before it was committed.
    until(&mut client, "SELECT sum(committed) FROM system.stream_partitions WHERE table_name = 'whole_live'", "1").await;
    ask(&mut client, "ALTER STREAMING TABLE whole_live SEEK TO EARLIEST").await;
    until(&mut client, "SELECT count(*) FROM whole_live", "2").await;
    until(&mut client, &counts("m"), "following\t1\t2\t1\t1\t0\t0").await;
    ask(&mut client, "ALTER STREAMING TABLE whole_live SEEK TO OFFSETS ('0:0')").await;
    until(&mut client, "SELECT count(*) FROM whole_live", "3").await;
    until(&mut client, &counts("m"), "following\t1\t3\t1\t1\t0\t0").await;
    let server = server.restart();
    let mut client = server.client().await;
    until(&mut client, &counts("m"), "following\t1\t3\t1\t1\t0\t0").await;

    // There and back, quicker than a follower ends.
    ask(&mut client, &create_model("m", FOLLOWING, halves)).await;
    for version in [1, 2, 1, 2, 1, 2, 1] {
        ask(&mut client, &format!("ALTER MODEL m SET DEFAULT VERSION {version}")).await;
    }
    until(&mut client, &counts("m"), "following\t1\t3\t1\t1\t0\t0").await;
    kafka.produce(&topic, Some(0), [r#"{"user_id":201,"movie_id":10,"rating":5}"#]).await;
    until(&mut client, &counts("m"), "following\t1\t4\t2\t2\t0\t0").await;
    assert_eq!(ask(&mut client, "SELECT als_predict('m', 201, 10) IS NOT NULL").await, ["true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_whose_new_rows_cannot_be_told_are_refused() {
    let kafka = Kafka::shared().await;
    let server = Server::start();
    let mut client = server.client().await;
    let topic = create_tables(&mut client, kafka, "1 h").await;
    create_stream(&mut client, kafka, "others_live", &topic, "1 h").await;
    let numbered = "SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY movie_id) AS n FROM ratings_live";
    ask(&mut client, &format!("CREATE VIEW numbered AS {numbered}")).await;
    let grouped = "SELECT user_id, movie_id, avg(rating) AS rating FROM ratings_live GROUP BY user_id, movie_id";
    let with = format!("WITH g AS ({grouped}) SELECT * FROM history UNION ALL SELECT * FROM g");
    let union = EVERY.replace("UNION ALL", "UNION");
    let letters = format!("{EVERY} UNION ALL SELECT 1, 10, CAST(count(*) AS DOUBLE) FROM dead_letters('ratings_live')");
    ask(&mut client, &create_model("before", "", "SELECT user_id, movie_id, rating FROM history")).await;
    let lists = format!(
        "{EVERY} UNION ALL SELECT user_id, movie_id, predicted_rating FROM ML.RECOMMEND(MODEL before, (SELECT user_id FROM ratings_live))"
    );
    let cases = [
        (grouped, "a GROUP BY"),
        (with.as_str(), "a GROUP BY"),
        ("SELECT user_id, movie_id, rating FROM numbered WHERE n <= 10", "a window function"),
        ("SELECT DISTINCT user_id, movie_id, rating FROM ratings_live", "a DISTINCT"),
        (union.as_str(), "a UNION without ALL"),
        ("SELECT user_id, movie_id, rating FROM ratings_live LIMIT 100", "a LIMIT"),
        ("SELECT a.* FROM ratings_live AS a JOIN others_live AS b ON a.user_id = b.user_id", "a join of streaming tables"),
        ("SELECT a.* FROM ratings_live AS a JOIN ratings_live AS b ON a.user_id = b.user_id", "a join of streaming tables"),
        // A new row of the stream would change one that was there.
        (
            "SELECT h.user_id, h.movie_id, coalesce(r.rating, 1) AS rating FROM history AS h LEFT JOIN ratings_live AS r USING (user_id)",
            "a join that keeps rows",
        ),
        ("SELECT * FROM history WHERE user_id IN (SELECT user_id FROM ratings_live)", "a sub-query"),
        ("SELECT user_id, movie_id, rating FROM history", "reads no streaming table"),
        (letters.as_str(), "its dead letters"),
        (lists.as_str(), "inside an ML function"),
    ];
    for (query, part) in cases {
        let error = client.rows(&create_model("refused_recs", FOLLOWING, query)).await.expect_err(query);
        for part in ["online_update", "refused_recs", part] {
            assert!(error.contains(part), "{query}\nno {part:?} in: {error}");
        }
        assert_eq!(ask(&mut client, "SELECT model_name FROM system.models").await, ["before"], "{query}");
    }
    assert!(ask(&mut client, "SELECT model_name FROM system.model_updates").await.is_empty());
    // Tables at rest may be grouped.
    let rest = "(SELECT movie_id FROM history GROUP BY movie_id)";
    let query = format!("SELECT e.user_id, e.movie_id, e.rating FROM ({EVERY}) AS e JOIN {rest} AS r ON r.movie_id = e.movie_id");
    ask(&mut client, &create_model("told", FOLLOWING, &query)).await;
    until(&mut client, &counts("told"), "following\t1\t0\t0\t0\t0\t0").await;
}
