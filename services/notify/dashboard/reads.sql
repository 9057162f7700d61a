-- What only the dashboard asks of the views of schema reporting, and of NOTIFY's own tables.

-- name: symbols
-- Every symbol with bars, by leaps over the index: the table has a row for each minute.
WITH RECURSIVE leaps AS (
    (SELECT symbol FROM reporting.bars ORDER BY symbol LIMIT 1)
    UNION ALL
    SELECT (SELECT symbol FROM reporting.bars WHERE symbol > leaps.symbol ORDER BY symbol LIMIT 1)
    FROM leaps WHERE leaps.symbol IS NOT NULL
)
SELECT symbol FROM leaps WHERE symbol IS NOT NULL LIMIT $1

-- name: signals
-- $1 symbol, $2 outcome ('on_its_way': none yet), each null for all. An outcome is looked for among those of 30 days:
-- one that hardly ever comes would have every signal there ever was read, each time the page is drawn.
SELECT signal_id, origin, strategy, symbol, action, confidence, price, alert_time, received_at, phoenix95_score,
       final_confidence, outcome, reason, decided_at, position_state, closed_reason, net_usdt, closed_trades,
       realised_usdt
FROM reporting.signal_results
WHERE ($1::text IS NULL OR symbol = $1)
  AND ($2::text IS NULL OR received_at > now() - interval '30 days')
  AND ($2::text IS NULL OR outcome = $2 OR ($2 = 'on_its_way' AND outcome IS NULL))
ORDER BY received_at DESC LIMIT $3

-- name: leases
SELECT name, holder, epoch, expires_at, expires_at > clock_timestamp() AS is_held FROM leases ORDER BY name

-- name: versions
SELECT current_setting('server_version') AS postgresql
