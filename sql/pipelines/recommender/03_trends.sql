-- Views that a dashboard reads: what is popular, what rises, which genres people watch.
-- Try: SELECT title, n_ratings, score FROM popular_movies ORDER BY score DESC LIMIT 10;

-- The damped mean pulls movies with few ratings towards the mean of all (weight: 10 ratings).
CREATE OR REPLACE VIEW popular_movies AS
SELECT
  movie_id,
  title,
  count(*) AS n_ratings,
  avg(rating) AS mean_rating,
  (sum(rating) + 10 * (SELECT avg(rating) FROM clean_ratings)) / (count(*) + 10) AS score
FROM clean_ratings
GROUP BY movie_id, title;

CREATE OR REPLACE VIEW ratings_per_year AS
SELECT
  dt AS year,
  count(*) AS n_ratings,
  count(DISTINCT user_id) AS n_users,
  avg(rating) AS mean_rating
FROM clean_ratings
GROUP BY dt;

CREATE OR REPLACE VIEW rising_movies AS
WITH newest AS (
  SELECT max(dt) AS year FROM clean_ratings
)
SELECT
  clean_ratings.movie_id,
  clean_ratings.title,
  count(*) FILTER (WHERE clean_ratings.dt = newest.year) AS n_newest_year,
  count(*) FILTER (WHERE clean_ratings.dt < newest.year) AS n_before
FROM clean_ratings
CROSS JOIN newest
GROUP BY clean_ratings.movie_id, clean_ratings.title;

CREATE OR REPLACE VIEW genre_trends AS
SELECT
  genre.genre,
  clean_ratings.dt AS year,
  count(*) AS n_ratings,
  avg(clean_ratings.rating) AS mean_rating
FROM clean_ratings
JOIN (
  SELECT movieId, unnest(string_to_array(genres, '|')) AS genre FROM movies_csv
) AS genre ON genre.movieId = clean_ratings.movie_id
GROUP BY genre.genre, clean_ratings.dt;
