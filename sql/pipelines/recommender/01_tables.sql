-- The raw files as tables. `/movielens` is a root of the server: see README.md in this folder.
-- Try: SELECT count(*) FROM ratings_csv;

CREATE EXTERNAL TABLE IF NOT EXISTS ratings_csv (
  userId BIGINT,
  movieId BIGINT,
  rating DOUBLE,
  `timestamp` BIGINT
)
COMMENT 'ratings as they came'
STORED AS CSV
LOCATION '/movielens/ratings.csv';

CREATE EXTERNAL TABLE IF NOT EXISTS movies_csv (
  movieId BIGINT,
  title STRING,
  genres STRING
)
COMMENT 'movies as they came'
STORED AS CSV
LOCATION '/movielens/movies.csv';
