-- Makes user_events: what people do now, from a Kafka topic. `weir demo` fills in how it is created and where the broker is.
-- Try it: SELECT event, count(*) AS n, max(event_time) AS newest FROM user_events GROUP BY event;
${create} user_events (
  user_id BIGINT,
  movie_id BIGINT,
  event STRING,
  rating DOUBLE,
  event_time TIMESTAMP,
  WATERMARK FOR event_time AS event_time - INTERVAL '10' SECOND
)
COMMENT 'what people do now'
WITH (
  'connector' = 'kafka',
  'topic' = 'user_events',
  'properties.bootstrap.servers' = '${bootstrap}',
  'format' = 'json'
);
