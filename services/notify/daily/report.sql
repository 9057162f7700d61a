-- Everything here reads the views of schema reporting for one UTC day, from $1 until before $2.

-- name: day
SELECT count(*) AS trades, count(*) FILTER (WHERE net_usdt > 0) AS wins, coalesce(sum(net_usdt), 0) AS net_usdt,
       coalesce(sum(fees_usdt), 0) AS fees_usdt
FROM reporting.trades WHERE closed_at >= $1 AND closed_at < $2 AND books_missing IS NULL

-- name: unprotected
-- Of what was opened on the day, whether it is closed by now or not.
SELECT max(extract(epoch FROM protected_at - opened_at))::numeric(20, 8) AS unprotected_s_max
FROM (
    SELECT opened_at, protected_at FROM reporting.trades WHERE closed_at >= $1
    UNION ALL
    SELECT opened_at, protected_at FROM reporting.positions
) AS held
WHERE opened_at >= $1 AND opened_at < $2

-- name: extremes
(SELECT symbol, side, net_usdt FROM reporting.trades WHERE closed_at >= $1 AND closed_at < $2 AND books_missing IS NULL
 ORDER BY net_usdt DESC, closed_at LIMIT 1)
UNION ALL
(SELECT symbol, side, net_usdt FROM reporting.trades WHERE closed_at >= $1 AND closed_at < $2 AND books_missing IS NULL
 ORDER BY net_usdt, closed_at DESC LIMIT 1)

-- name: outcomes
SELECT outcome, reason, count(*) AS signals
FROM reporting.signals WHERE received_at >= $1 AND received_at < $2 AND outcome IS NOT NULL
GROUP BY outcome, reason ORDER BY count(*) DESC, outcome, reason LIMIT $3
