-- Ten movies that user 42 has not rated, best first.

SELECT
  recommended.rank,
  movies_csv.title,
  recommended.score
FROM recommend('movie_recs', 42, 10) AS recommended
JOIN movies_csv ON movies_csv.movieId = recommended.movie_id
ORDER BY recommended.rank;
