-- The recommender: explicit ALS, 80/20 split, scored on the held-out part, then fitted on all rows. Factors that predict ratings
-- well put movies first that a few people loved; `ranking = 'implicit'` trains others beside them, which order the recommendations.
-- Try: SELECT * FROM ML.EVALUATE(MODEL movie_recs);

CREATE OR REPLACE MODEL movie_recs
OPTIONS (
  model_type = 'matrix_factorization',
  user_col = 'user_id',
  item_col = 'movie_id',
  rating_col = 'rating',
  num_factors = 10,
  ranking = 'implicit',
  regParam = 0.1,
  max_iterations = 10,
  nonnegative = TRUE,
  seed = 42,
  cold_start_strategy = 'drop',
  data_split_method = 'random',
  data_split_eval_fraction = 0.2
)
AS SELECT user_id, movie_id, rating FROM clean_ratings;
