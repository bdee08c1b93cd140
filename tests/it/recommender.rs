//! The main job on the real data set: CSV files to tables, a partitioned Parquet table, a recommender, recommendations.

use crate::harness::{Server, repository, test_data};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The DDL of `clean_ratings` as Hive and Spark users have it, word for word.
const HIVE_DDL: &str = "\
CREATE EXTERNAL TABLE IF NOT EXISTS clean_ratings (
  user_id INT, movie_id INT, rating DOUBLE, `timestamp` BIGINT, title STRING)
COMMENT 'enriched' PARTITIONED BY (dt STRING)
STORED AS PARQUET                       -- PARQUET | AVRO | CSV | TEXTFILE | JSON | ARROW | DELTA
LOCATION '/data/clean_ratings'          -- file, s3, gs, abfs, hdfs
TBLPROPERTIES ('parquet.compression'='ZSTD');";

const SCRIPTS: [&str; 5] = ["01_tables.sql", "02_clean.sql", "03_trends.sql", "04_model.sql", "05_recommend.sql"];

/// One line of `ratings.csv`, read by the test itself.
struct Rating {
    user: i64,
    movie: i64,
    rating: f64,
    year: i64,
}

/// The ratings, without our own readers.
fn ratings() -> Vec<Rating> {
    let text = std::fs::read_to_string(test_data("ml-latest-small").join("ratings.csv")).unwrap();
    let ratings: Vec<Rating> = text
        .lines()
        .skip(1)
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let time = chrono::DateTime::from_timestamp(cells[3].parse().unwrap(), 0).unwrap();
            Rating {
                user: cells[0].parse().unwrap(),
                movie: cells[1].parse().unwrap(),
                rating: cells[2].parse().unwrap(),
                year: time.format("%Y").to_string().parse().unwrap(),
            }
        })
        .collect();
    assert_eq!(ratings.len(), 100_836, "ml-latest-small of 2018 has 100836 ratings");
    ratings
}

/// Runs a script of the pipeline through the console, as a user does. Returns what it printed.
fn run_script(server: &Server, script: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "-A", "-t"])
        .arg(repository().join("sql/pipelines/recommender").join(script))
        .arg(format!("grpc://{}", server.address()))
        .output()
        .expect("the weir binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script} fails:\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

async fn number(server: &Server, sql: &str) -> f64 {
    let rows = server.sql(sql).await;
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0].parse().unwrap_or_else(|_| panic!("{sql}: {}", rows[0]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratings_become_a_partitioned_table_that_is_pruned() {
    let server = Server::start();
    run_script(&server, "01_tables.sql");
    server.sql(HIVE_DDL.trim_end_matches(';')).await;
    let mut by_year: BTreeMap<i64, (usize, f64)> = BTreeMap::new();
    for rating in ratings() {
        let year = by_year.entry(rating.year).or_default();
        year.0 += 1;
        year.1 += rating.rating;
    }
    // Overwriting again changes nothing.
    for _ in 0..2 {
        let written = server
            .sql(
                "INSERT OVERWRITE TABLE clean_ratings PARTITION (dt)
                 SELECT r.userId, r.movieId, r.rating, r.`timestamp`, m.title, CAST(year(to_timestamp_seconds(r.`timestamp`)) AS STRING)
                 FROM ratings_csv r JOIN movies_csv m ON r.movieId = m.movieId",
            )
            .await;
        assert_eq!(written, ["100836"]);
    }
    let rows = server.sql("SELECT dt, count(*), sum(rating) FROM clean_ratings GROUP BY dt ORDER BY dt").await;
    let expected: Vec<String> = by_year.iter().map(|(year, (count, sum))| format!("{year}\t{count}\t{sum:?}")).collect();
    assert_eq!(rows, expected);
    let partitions = server.sql("SHOW PARTITIONS clean_ratings").await;
    assert_eq!(partitions, by_year.keys().map(|year| format!("dt={year}")).collect::<Vec<_>>());
    for year in by_year.keys() {
        assert!(server.data().join(format!("clean_ratings/dt={year}")).is_dir(), "a directory for {year}");
    }
    for (filter, n_selected) in
        [("dt = '2018'", 1), ("dt >= '2017'", 2), ("dt = '2018' AND rating > 4", 1), ("dt = '1066'", 0), ("rating > 4", by_year.len())]
    {
        let plan = server.sql(&format!("EXPLAIN SELECT count(title) FROM clean_ratings WHERE {filter}")).await.join("\n");
        let expected = format!("partitions={n_selected}/{}", by_year.len());
        assert!(plan.contains(&expected), "{filter}: no {expected} in\n{plan}");
    }
    let (n_2018, _) = by_year[&2018];
    assert_eq!(number(&server, "SELECT count(*) FROM clean_ratings WHERE dt = '2018'").await, n_2018 as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ddl_of_hive_is_kept_as_written() {
    let server = Server::start();
    server.sql(HIVE_DDL.trim_end_matches(';')).await;
    let shown = server.sql("SHOW CREATE TABLE clean_ratings").await.join("\n");
    for part in [
        "CREATE EXTERNAL TABLE",
        "`user_id` INT,",
        "`movie_id` INT,",
        "`rating` DOUBLE,",
        "`timestamp` BIGINT,",
        "`title` STRING",
        "COMMENT 'enriched'",
        "PARTITIONED BY (`dt` STRING)",
        "STORED AS PARQUET",
        "LOCATION '/data/clean_ratings'",
        "'parquet.compression' = 'ZSTD'",
    ] {
        assert!(shown.contains(part), "no {part} in\n{shown}");
    }
    // What is shown makes the same table.
    server.sql("DROP TABLE clean_ratings").await;
    server.sql(shown.trim_end().trim_end_matches(';')).await;
    assert_eq!(server.sql("SHOW CREATE TABLE clean_ratings").await.join("\n"), shown);
    // The statement says IF NOT EXISTS: again is harmless.
    server.sql(HIVE_DDL.trim_end_matches(';')).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_seeds_reach_the_error_of_the_literature() {
    let server = Server::start();
    run_script(&server, "01_tables.sql");
    let mut sum = 0.0;
    let seeds = [1, 2, 3];
    for seed in seeds {
        server
            .sql(&format!(
                "CREATE OR REPLACE MODEL recs OPTIONS (model_type='als', rank=10, regParam=0.1, nonnegative=TRUE, max_iterations=10, \
                 seed={seed}, cold_start_strategy='drop', data_split_method='random', data_split_eval_fraction=0.2) \
                 AS SELECT userId, movieId, rating FROM ratings_csv"
            ))
            .await;
        let row = server.sql("SELECT rmse, mae, rows_eval, rows_eval_dropped FROM ML.EVALUATE(MODEL recs)").await;
        let cells: Vec<f64> = row[0].split('\t').map(|cell| cell.parse().unwrap()).collect();
        let (rmse, mae, n_rows, n_dropped) = (cells[0], cells[1], cells[2], cells[3]);
        println!("seed {seed}: rmse {rmse:.4}, mae {mae:.4}, {n_rows} rows, {n_dropped} dropped");
        assert!(mae < rmse, "seed {seed}: mae {mae}, rmse {rmse}");
        assert!((19_500.0..21_000.0).contains(&n_rows), "seed {seed}: {n_rows} rows are not a fifth of 100836");
        // Movies with one rating, held out, are unknown to the model: some 4 % of the rows.
        assert!((400.0..1_300.0).contains(&n_dropped), "seed {seed}: {n_dropped} rows dropped");
        sum += rmse;
    }
    let described = server.sql("DESCRIBE MODEL recs").await;
    for row in [
        "regParam\t0.1",
        "num_factors\t10",
        "max_iterations\t10",
        "nonnegative\ttrue",
        "seed\t3",
        "user_col\tuserId",
        "default_version\t3",
        "n_users\t610",
    ] {
        assert!(described.iter().any(|line| line == row), "no {row:?} in {described:#?}");
    }
    let mean = sum / seeds.len() as f64;
    assert!((0.875..0.895).contains(&mean), "the mean RMSE of the seeds {seeds:?} is {mean}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_seeds_rank_better_than_popularity() {
    let server = Server::start();
    run_script(&server, "01_tables.sql");
    for seed in [1, 2, 3] {
        server
            .sql(&format!(
                "CREATE OR REPLACE MODEL likes OPTIONS (model_type='als', feedback_type='implicit', rank=32, regParam=0.2, seed={seed}, \
                 data_split_method='random_per_user', data_split_eval_fraction=0.2) \
                 AS SELECT userId, movieId, rating FROM ratings_csv WHERE rating >= 4"
            ))
            .await;
        let row = server.sql("SELECT ndcg_at_k, popularity_ndcg_at_k, rows_eval FROM ML.EVALUATE(MODEL likes)").await;
        let cells: Vec<f64> = row[0].split('\t').map(|cell| cell.parse().unwrap()).collect();
        let (ndcg, popularity, n_rows) = (cells[0], cells[1], cells[2]);
        println!("seed {seed}: ndcg@10 {ndcg:.4}, of the most popular movies {popularity:.4}, {n_rows} rows");
        // The nearest to a fifth of each user's likes is the same number of rows whatever the seed.
        assert_eq!(n_rows, 9_709.0, "seed {seed}");
        assert!(ndcg >= 1.4 * popularity, "seed {seed}: ndcg {ndcg}, popularity {popularity}");
    }
    let described = server.sql("DESCRIBE MODEL likes").await;
    for row in ["data_split_method\trandom_per_user", "data_split_eval_fraction\t0.2", "ranking_k\t10"] {
        assert!(described.iter().any(|line| line == row), "no {row:?} in {described:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scripts_run_twice_and_recommend_unseen_movies_with_titles() {
    let server = Server::start();
    let mut answers = Vec::new();
    for round in 1..=2 {
        let printed: Vec<String> = SCRIPTS.iter().map(|script| run_script(&server, script)).collect();
        answers.push(printed[4].clone());
        assert_eq!(server.sql("SELECT count(*) FROM clean_ratings").await, ["100836"], "round {round}");
        assert_eq!(server.sql("SHOW MODELS").await, [format!("public\tmovie_recs\tmatrix_factorization\t{round}")]);
    }
    assert_eq!(answers[0], answers[1], "the same rows and the same seed recommend the same");
    assert_eq!(answers[0].lines().filter(|line| !line.trim().is_empty()).count(), 10, "ten movies:\n{}", answers[0]);

    let mut seen: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for rating in ratings() {
        seen.entry(rating.user).or_default().insert(rating.movie);
    }
    let movies = std::fs::read_to_string(test_data("ml-latest-small").join("movies.csv")).unwrap();
    let line_of: BTreeMap<i64, &str> =
        movies.lines().skip(1).map(|line| (line.split(',').next().unwrap().parse().unwrap(), line)).collect();
    for user in [1, 42, 414, 610] {
        let rows = server
            .sql(&format!(
                "SELECT r.movie_id, r.score, r.rank, m.title FROM recommend('movie_recs', {user}, 25) r \
                 LEFT JOIN movies_csv m ON m.movieId = r.movie_id ORDER BY r.rank"
            ))
            .await;
        assert_eq!(rows.len(), 25, "user {user}");
        let mut last_score = f64::INFINITY;
        for (row, rank) in rows.iter().zip(1..) {
            let cells: Vec<&str> = row.split('\t').collect();
            let (movie, score): (i64, f64) = (cells[0].parse().unwrap(), cells[1].parse().unwrap());
            assert!(!seen[&user].contains(&movie), "user {user} has rated movie {movie}");
            assert!(score <= last_score && score.is_finite(), "user {user}: {score} after {last_score}");
            assert_eq!(cells[2], rank.to_string());
            let line = line_of[&movie];
            assert!(line.contains(&cells[3].replace('"', "\"\"")), "the title of movie {movie} is \"{}\" in\n{line}", cells[3]);
            last_score = score;
        }
    }
    // With parameters: they have the types of the model's ids, so that a client which asks for types can bind them.
    let bench = ["bench", "query", "SELECT * FROM recommend('movie_recs', $1, $2)", &format!("grpc://{}", server.address())];
    let values = ["--param", "1..610", "--param", "25..25", "--seconds", "0.5"];
    let measured = Command::new(env!("CARGO_BIN_EXE_weir")).args(bench).args(values).output().expect("weir bench");
    let printed = String::from_utf8_lossy(&measured.stdout).into_owned();
    assert!(printed.contains(" 25.0 rows an answer"), "{printed}{}", String::from_utf8_lossy(&measured.stderr));
    // The views of the third script answer.
    for view in ["popular_movies", "ratings_per_year", "rising_movies", "genre_trends"] {
        assert!(number(&server, &format!("SELECT count(*) FROM {view}")).await > 0.0, "view {view}");
    }
    assert_eq!(number(&server, "SELECT sum(n_ratings) FROM ratings_per_year").await, 100_836.0);
}
