-- BRAIN's statements, in the order of a signal's life.

-- name: claim_key
-- First sight wins; a windowed key is taken again when its window has passed. One statement, so that of two replicas
-- exactly one gets a row back.
INSERT INTO signal_keys AS held (dedupe_key, signal_id, first_seen_at, window_s)
VALUES ($1, $2, $3, $4)
ON CONFLICT (dedupe_key) DO UPDATE
SET signal_id = EXCLUDED.signal_id, first_seen_at = EXCLUDED.first_seen_at, window_s = EXCLUDED.window_s
WHERE held.first_seen_at + make_interval(secs => held.window_s) <= EXCLUDED.first_seen_at
RETURNING true

-- name: record_duplicate
INSERT INTO duplicates (signal_id, duplicate_of, received_at)
SELECT $1::text, signal_id, $3::timestamptz FROM signal_keys WHERE dedupe_key = $2 AND signal_id <> $1::text
ON CONFLICT DO NOTHING

-- name: record_signal
INSERT INTO signals (signal_id, origin, strategy, symbol, action, confidence, price, alert_time, received_at, signal,
                     analysis)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING

-- name: is_superseded
-- By the alerts' own stamps, which have whole seconds: an exit of the same second is the first half of a reversal. The
-- receipt narrows the search, and tells the stamps of wrong clocks (`signal_order`).
SELECT EXISTS (
    SELECT FROM signals
    WHERE symbol = $1 AND strategy = $2 AND action = 'exit' AND received_at > $3::timestamptz - interval '1 minute'
      AND alert_time > $3 AND alert_time <= received_at + make_interval(secs => $4)
)

-- name: tell
INSERT INTO story (correlation_id, event_id, causation_id, schema, producer, occurred_at, payload)
SELECT told.correlation_id, told.event_id, told.causation_id, told.schema, told.producer, told.occurred_at,
       told.payload::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
     AS told (correlation_id, event_id, causation_id, schema, producer, occurred_at, payload)
ON CONFLICT DO NOTHING

-- name: record_outcomes
-- Of several outcomes of one signal the first in the list stays.
INSERT INTO outcomes (signal_id, outcome, reason, decided_at)
SELECT told.signal_id, told.outcome::outcome_kind, told.reason, told.decided_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::boolean[]) WITH ORDINALITY
     AS told (signal_id, outcome, reason, decided_at, only_if_recorded, place)
WHERE NOT told.only_if_recorded OR EXISTS (SELECT FROM signals WHERE signals.signal_id = told.signal_id)
ORDER BY told.signal_id, told.place
ON CONFLICT DO NOTHING
RETURNING signal_id, outcome::text, reason

-- name: move_positions
-- Closed is final and the version only grows: the row ends up the same in whatever order the facts come.
INSERT INTO open_positions AS held (signal_id, symbol, version, is_open)
SELECT told.signal_id, min(told.symbol), max(told.version), bool_and(told.is_open)
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::boolean[]) AS told (signal_id, symbol, version, is_open)
GROUP BY told.signal_id
ORDER BY told.signal_id
ON CONFLICT (signal_id) DO UPDATE
SET version = greatest(held.version, EXCLUDED.version), is_open = held.is_open AND EXCLUDED.is_open

-- name: book_trade
INSERT INTO closed_trades (signal_id, strategy, symbol, return_fraction, net_pnl_usdt, closed_at, reason, closed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING

-- name: open_positions
SELECT count(*) FROM open_positions WHERE is_open

-- name: closed_returns
SELECT return_fraction, count(*) OVER () AS closed
FROM closed_trades
ORDER BY closed_at DESC, signal_id
LIMIT $1

-- name: overdue
SELECT signals.signal_id, count(*) OVER () AS waiting
FROM signals LEFT JOIN outcomes USING (signal_id)
WHERE outcomes.signal_id IS NULL AND signals.recorded_at > $1 AND signals.recorded_at <= $2
ORDER BY signals.recorded_at, signals.signal_id
LIMIT 1

-- name: forget_windowed_keys
WITH forgotten AS (
    DELETE FROM signal_keys WHERE window_s IS NOT NULL AND first_seen_at < $1 RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_story
-- Months that are over; the function belongs to the schema's owner, because services may not drop tables.
SELECT keep_story($1)

-- name: prune_signals
-- A signal that has not ended stays: the watchdog points at it.
WITH old AS (
    SELECT signals.signal_id FROM signals JOIN outcomes USING (signal_id)
    WHERE received_at < now() - make_interval(days => $1)
    ORDER BY received_at LIMIT 500
), forgotten_outcomes AS (
    DELETE FROM outcomes USING old WHERE outcomes.signal_id = old.signal_id
), forgotten_keys AS (
    DELETE FROM signal_keys USING old WHERE signal_keys.signal_id = old.signal_id
), forgotten_duplicates AS (
    DELETE FROM duplicates USING old WHERE duplicate_of = old.signal_id
), forgotten_positions AS (
    DELETE FROM open_positions USING old WHERE open_positions.signal_id = old.signal_id AND NOT is_open
), forgotten AS (
    DELETE FROM signals USING old WHERE signals.signal_id = old.signal_id RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_outcomes
-- Of signals that were never recorded: what arrived was not readable.
WITH forgotten AS (
    DELETE FROM outcomes WHERE signal_id IN (
        SELECT signal_id FROM outcomes
        WHERE decided_at < now() - make_interval(days => $1)
          AND NOT EXISTS (SELECT FROM signals WHERE signals.signal_id = outcomes.signal_id)
        ORDER BY decided_at LIMIT 500
    ) RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_trades
-- The odds are taken from the newest trades, however old those are.
WITH forgotten AS (
    DELETE FROM closed_trades WHERE closed_at < (
        SELECT least(now() - make_interval(days => $1), min(closed_at)) FROM (
            SELECT closed_at FROM closed_trades ORDER BY closed_at DESC, signal_id LIMIT 1000
        ) AS newest
    ) RETURNING true
)
SELECT count(*) FROM forgotten

-- name: recent_signals
SELECT signals.signal_id, received_at, signals.symbol, action, signals.strategy, origin, confidence,
       (analysis ->> 'phoenix95_score')::numeric AS phoenix95_score,
       (analysis ->> 'final_confidence')::numeric AS final_confidence,
       outcome, outcomes.reason,
       CASE WHEN trade.signal_id IS NOT NULL THEN 'closed' WHEN held.is_open THEN 'open' END AS position,
       trade.reason AS closed_reason, trade.closed_at, trade.net_pnl_usdt,
       ended.trades AS closed_trades, ended.net_pnl_usdt AS realised_pnl_usdt
FROM signals
LEFT JOIN outcomes USING (signal_id)
LEFT JOIN closed_trades AS trade USING (signal_id)
LEFT JOIN open_positions AS held USING (signal_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS trades, sum(net_pnl_usdt) AS net_pnl_usdt FROM closed_trades
    WHERE closed_by = signals.signal_id
) AS ended ON true
WHERE $2::text IS NULL OR signals.symbol = $2
ORDER BY received_at DESC, signals.signal_id
LIMIT $1

-- name: trades_closed_by
SELECT signal_id, symbol, reason, net_pnl_usdt, closed_at FROM closed_trades
WHERE closed_by = $1
ORDER BY closed_at, signal_id
LIMIT $2

-- name: counts_of_positions
-- An outcome says how a signal was taken and stays; this is what became of the positions.
SELECT count(*) FILTER (WHERE trade.signal_id IS NULL AND held.is_open) AS open, count(trade.signal_id) AS closed,
       count(*) FILTER (WHERE net_pnl_usdt > 0) AS won, count(*) FILTER (WHERE net_pnl_usdt < 0) AS lost,
       coalesce(sum(net_pnl_usdt), 0) AS net_pnl_usdt
FROM signals
LEFT JOIN closed_trades AS trade USING (signal_id)
LEFT JOIN open_positions AS held USING (signal_id)
WHERE received_at >= $1

-- name: one_signal
SELECT signals.signal_id, signal, analysis, outcome, reason, decided_at
FROM signals LEFT JOIN outcomes USING (signal_id)
WHERE signals.signal_id = $1

-- name: outcome_alone
-- Of a signal that was parked before it could be recorded.
SELECT outcomes.signal_id, outcome, reason, decided_at,
       (SELECT payload ->> 'symbol' FROM story
        WHERE correlation_id = $1 AND schema = 'signal.ended.v1' ORDER BY occurred_at LIMIT 1) AS symbol
FROM outcomes
WHERE outcomes.signal_id = $1

-- name: original_of
SELECT duplicate_of FROM duplicates WHERE signal_id = $1

-- name: story
-- A message that was published twice with two times is one part of the story: the first counts.
SELECT event_id, causation_id, schema, producer, occurred_at, payload
FROM (
    SELECT DISTINCT ON (event_id) * FROM story WHERE correlation_id = $1 ORDER BY event_id, id
) AS messages
ORDER BY occurred_at, id
LIMIT $2

-- name: counts_by_outcome
SELECT coalesce(outcome::text, 'pending') AS outcome, coalesce(split_part(reason, ':', 1), '') AS reason,
       count(*) AS signals
FROM signals LEFT JOIN outcomes USING (signal_id)
WHERE received_at >= $1
GROUP BY 1, 2
ORDER BY 3 DESC, 1, 2

-- name: counts_by_hour
SELECT date_trunc('hour', received_at) AS hour, coalesce(outcome::text, 'pending') AS outcome, count(*) AS signals
FROM signals LEFT JOIN outcomes USING (signal_id)
WHERE received_at >= $1
GROUP BY 1, 2
ORDER BY 1, 2

-- name: count_duplicates
SELECT count(*) FROM duplicates WHERE received_at >= $1
