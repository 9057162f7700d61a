-- name: keep
-- The inbox, the notification, the count of repeats and a delivery per channel in one statement, which is a
-- transaction: all are kept or none. The row of the words decides, for all replicas, whether they are a repeat; a row
-- whose time is over but whose count has not been told yet goes on counting.
WITH first_time AS (
    INSERT INTO inbox (queue, event_id) VALUES ($8, $1) ON CONFLICT DO NOTHING RETURNING true
), said AS (
    INSERT INTO repeats AS said (words_hash, event_id, correlation_id, kind, title, ends_at)
    SELECT $12::bytea, $1, $2, $3, $5, clock_timestamp() + make_interval(secs => $13)
    FROM first_time WHERE $12 IS NOT NULL
    ON CONFLICT (words_hash) DO UPDATE SET
        event_id = CASE WHEN said.repeats = 0 AND said.ends_at <= clock_timestamp()
                        THEN EXCLUDED.event_id ELSE said.event_id END,
        ends_at = CASE WHEN said.repeats = 0 AND said.ends_at <= clock_timestamp()
                       THEN EXCLUDED.ends_at ELSE said.ends_at END,
        repeats = CASE WHEN said.repeats = 0 AND said.ends_at <= clock_timestamp()
                         OR said.event_id = EXCLUDED.event_id
                       THEN said.repeats ELSE said.repeats + 1 END
    RETURNING said.event_id <> $1 AS is_repeat
), kept AS (
    INSERT INTO notifications
        (event_id, correlation_id, kind, severity, title, body, occurred_at, gist, is_silent, held_because, picture)
    SELECT $1, $2, $3, $4, $5, $6, $7::timestamptz, $9, $10,
           CASE WHEN $11 THEN 'off' WHEN (SELECT is_repeat FROM said) THEN 'repeat' END, $16::bytea
    FROM first_time
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id, occurred_at, held_because
), queued AS (
    INSERT INTO deliveries (event_id, channel, lane, occurred_at)
    SELECT event_id, channel, $14, occurred_at FROM kept CROSS JOIN unnest($15::text[]) AS channel
    WHERE held_because IS NULL
)
SELECT true FROM kept

-- name: end_repeats
DELETE FROM repeats WHERE words_hash IN (
    SELECT words_hash FROM repeats WHERE ends_at <= clock_timestamp()
    ORDER BY ends_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING event_id, correlation_id, kind, title, repeats

-- name: adopt
-- What an older replica kept waits in the columns it knows; it becomes a delivery per channel.
WITH moved AS (
    UPDATE notifications SET dropped_at = now(), dropped_because = 'per_channel'
    WHERE delivered_at IS NULL AND dropped_at IS NULL AND next_attempt_at <= clock_timestamp()
    RETURNING event_id, severity, occurred_at
)
INSERT INTO deliveries (event_id, channel, lane, occurred_at)
SELECT event_id, channel,
       CASE severity WHEN 'critical' THEN 'danger' WHEN 'warning' THEN 'warning' ELSE 'routine' END, occurred_at
FROM moved CROSS JOIN unnest($1::text[]) AS channel
ON CONFLICT DO NOTHING

-- name: retire
-- What waits for a channel that is set up no more; an hour, so that a rolling restart with new settings is over.
UPDATE deliveries SET dropped_at = now(), dropped_because = 'channel_removed'
WHERE channel <> ALL($1::text[]) AND delivered_at IS NULL AND dropped_at IS NULL
  AND next_attempt_at < clock_timestamp() - interval '1 hour'

-- name: waiting
-- Per lane, so that a flood in one never hides another.
SELECT event_id, correlation_id, kind, severity, title, body, gist, is_silent, notifications.occurred_at
FROM unnest(ARRAY['danger', 'trades', 'warning', 'routine']) AS level (lane)
CROSS JOIN LATERAL (
    SELECT event_id
    FROM deliveries
    WHERE channel = $1 AND lane = level.lane AND delivered_at IS NULL AND dropped_at IS NULL
      AND next_attempt_at <= clock_timestamp()
    ORDER BY occurred_at, event_id
    LIMIT $2
) AS queue
JOIN notifications USING (event_id)

-- name: picture
SELECT picture FROM notifications WHERE event_id = $1

-- name: claim
UPDATE deliveries
SET attempts = attempts + 1, next_attempt_at = clock_timestamp() + make_interval(secs => $3)
WHERE channel = $1 AND event_id = ANY($2::text[]) AND delivered_at IS NULL AND dropped_at IS NULL
  AND next_attempt_at <= clock_timestamp()
RETURNING event_id

-- name: mark_delivered
UPDATE deliveries SET delivered_at = now()
WHERE channel = $1 AND event_id = ANY($2::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: mark_drops_told
UPDATE deliveries SET drop_told_at = now()
WHERE channel = $1 AND dropped_because = 'too_old' AND drop_told_at IS NULL AND dropped_at <= $2

-- name: release
UPDATE deliveries SET next_attempt_at = now()
WHERE channel = $1 AND event_id = ANY($2::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: drop
UPDATE deliveries SET dropped_at = now(), dropped_because = $3
WHERE channel = $1 AND event_id = ANY($2::text[]) AND delivered_at IS NULL AND dropped_at IS NULL

-- name: drop_old
WITH dropped AS (
    UPDATE deliveries SET dropped_at = now(), dropped_because = 'too_old'
    FROM unnest($2::text[], $3::timestamptz[]) AS aged (lane, before)
    WHERE channel = $1 AND deliveries.lane = aged.lane AND occurred_at < aged.before
      AND delivered_at IS NULL AND dropped_at IS NULL AND next_attempt_at <= clock_timestamp()
    RETURNING 1
)
SELECT count(*) FROM dropped

-- name: untold_drops
SELECT count(*) AS count, max(dropped_at) AS until
FROM deliveries
WHERE channel = $1 AND dropped_because = 'too_old' AND drop_told_at IS NULL

-- name: count_waiting
-- $1 is a kind of channel: a metric names no receiver.
SELECT count(*) FROM deliveries
WHERE split_part(channel, ':', 1) = $1 AND delivered_at IS NULL AND dropped_at IS NULL

-- name: latest
SELECT event_id, correlation_id, kind, severity, title, body, occurred_at, stored_at, is_silent, held_because,
       coalesce(deliveries, '[]') AS deliveries
FROM (
    SELECT * FROM notifications
    WHERE ($2::text IS NULL OR severity = $2) AND ($3::text IS NULL OR correlation_id = $3)
    ORDER BY occurred_at DESC, event_id
    LIMIT $1
) AS newest
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'channel', channel, 'attempts', attempts, 'delivered_at', delivered_at,
               'dropped_at', dropped_at, 'dropped_because', dropped_because) ORDER BY channel) AS deliveries
    FROM deliveries WHERE deliveries.event_id = newest.event_id
) AS sent ON true
ORDER BY occurred_at DESC, event_id

-- name: prune
WITH old AS (
    SELECT event_id FROM notifications
    WHERE occurred_at < now() - make_interval(days => $1) AND NOT EXISTS (
        SELECT FROM deliveries
        WHERE deliveries.event_id = notifications.event_id AND delivered_at IS NULL AND dropped_at IS NULL
    )
    ORDER BY occurred_at LIMIT $2
), undelivered AS (
    DELETE FROM deliveries USING old WHERE deliveries.event_id = old.event_id
)
DELETE FROM notifications USING old WHERE notifications.event_id = old.event_id

-- name: is_report_made
SELECT EXISTS (SELECT FROM daily_reports WHERE day = $1)

-- name: claim_report
INSERT INTO daily_reports (day) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true

-- name: prune_reports
DELETE FROM daily_reports WHERE made_at < now() - make_interval(days => $1)

-- name: oldest_waiting_s
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(stored_at)), 0)::float8
FROM deliveries JOIN notifications USING (event_id)
WHERE deliveries.delivered_at IS NULL AND deliveries.dropped_at IS NULL AND channel = ANY ($1::text[])

-- name: database_load
SELECT pg_database_size(current_database()) AS size_bytes,
       (SELECT sum(numbackends) FROM pg_stat_database)::int AS connections,
       current_setting('max_connections')::int AS connections_max
