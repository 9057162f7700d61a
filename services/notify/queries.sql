-- name: keep
-- The inbox and the notification in one statement, which is a transaction: both are kept or neither.
WITH first_time AS (
    INSERT INTO inbox (queue, event_id) VALUES ($9, $1) ON CONFLICT DO NOTHING RETURNING true
)
INSERT INTO notifications
    (event_id, correlation_id, kind, severity, title, body, occurred_at, dropped_at, dropped_because)
SELECT $1, $2, $3, $4, $5, $6, $7::timestamptz, CASE WHEN $8::text IS NULL THEN NULL ELSE now() END, $8
FROM first_time
ON CONFLICT (event_id) DO NOTHING
RETURNING true

-- name: waiting
-- Per severity, so that a flood of one never hides another.
SELECT queue.*
FROM unnest(ARRAY['critical', 'warning', 'info']) AS level (severity)
CROSS JOIN LATERAL (
    SELECT event_id, correlation_id, kind, severity, title, body, occurred_at
    FROM notifications
    WHERE severity = level.severity AND delivered_at IS NULL AND dropped_at IS NULL
      AND next_attempt_at <= clock_timestamp()
    ORDER BY occurred_at, event_id
    LIMIT $1
) AS queue

-- name: claim
UPDATE notifications
SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $2)
WHERE event_id = ANY($1::text[]) AND delivered_at IS NULL AND dropped_at IS NULL
  AND next_attempt_at <= clock_timestamp()
RETURNING event_id

-- name: mark_delivered
UPDATE notifications SET delivered_at = now()
WHERE event_id = ANY($1::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: mark_drops_told
UPDATE notifications SET drop_told_at = now()
WHERE dropped_because = 'too_old' AND drop_told_at IS NULL AND dropped_at <= $1

-- name: release
UPDATE notifications SET next_attempt_at = now()
WHERE event_id = ANY($1::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: drop
UPDATE notifications SET dropped_at = now(), dropped_because = $2
WHERE event_id = ANY($1::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: drop_old
WITH dropped AS (
    UPDATE notifications SET dropped_at = now(), dropped_because = 'too_old'
    WHERE severity = $1 AND occurred_at < $2 AND delivered_at IS NULL AND dropped_at IS NULL
      AND next_attempt_at <= clock_timestamp()
    RETURNING 1
)
SELECT count(*) FROM dropped

-- name: untold_drops
SELECT count(*) AS count, max(dropped_at) AS until
FROM notifications
WHERE dropped_because = 'too_old' AND drop_told_at IS NULL

-- name: count_waiting
SELECT count(*) FROM notifications WHERE delivered_at IS NULL AND dropped_at IS NULL

-- name: latest
SELECT event_id, correlation_id, kind, severity, title, body, occurred_at, stored_at, attempts, delivered_at,
       dropped_at, dropped_because
FROM notifications
WHERE ($2::text IS NULL OR severity = $2) AND ($3::text IS NULL OR correlation_id = $3)
ORDER BY occurred_at DESC, event_id
LIMIT $1

-- name: prune
DELETE FROM notifications
WHERE event_id IN (
    SELECT event_id FROM notifications
    WHERE occurred_at < now() - make_interval(days => $1)
      AND (delivered_at IS NOT NULL OR dropped_at IS NOT NULL)
    ORDER BY occurred_at
    LIMIT $2
)

-- name: backlog
SELECT count(*) AS waiting,
       coalesce(extract(epoch FROM clock_timestamp() - min(stored_at)), 0)::float8 AS oldest_s
FROM notifications WHERE delivered_at IS NULL AND dropped_at IS NULL

-- name: database_load
SELECT pg_database_size(current_database()) AS size_bytes,
       (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
       current_setting('max_connections')::int AS connections_max
