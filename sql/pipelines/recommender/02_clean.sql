-- Clean ratings with their titles, as Parquet in one directory a year.
-- Out: ratings without a value or outside 0.5 to 5, and all but the newest of one user for one movie.
-- Try: SELECT dt, count(*) FROM clean_ratings GROUP BY dt ORDER BY dt;

CREATE EXTERNAL TABLE IF NOT EXISTS clean_ratings (
  user_id INT, movie_id INT, rating DOUBLE, `timestamp` BIGINT, title STRING)
COMMENT 'enriched' PARTITIONED BY (dt STRING)
STORED AS PARQUET
LOCATION '/data/clean_ratings'
TBLPROPERTIES ('parquet.compression'='ZSTD');

INSERT OVERWRITE TABLE clean_ratings
WITH newest AS (
  SELECT
    userId,
    movieId,
    rating,
    `timestamp`,
    row_number() OVER (PARTITION BY userId, movieId ORDER BY `timestamp` DESC) AS nth
  FROM ratings_csv
  WHERE rating BETWEEN 0.5 AND 5
)
SELECT
  newest.userId,
  newest.movieId,
  newest.rating,
  newest.`timestamp`,
  movies_csv.title,
  CAST(date_part('year', to_timestamp_seconds(newest.`timestamp`)) AS STRING) AS dt
FROM newest
JOIN movies_csv ON movies_csv.movieId = newest.movieId
WHERE newest.nth = 1;
