-- Everything here reads the views of schema reporting, and nothing else of the other services. Columns are named: a
-- view that grows in the next version must not stop this one.

-- name: account
SELECT state, trading_epoch, wallet_usdt, equity_usdt, available_usdt, snapshot_taken_at, day, day_start_equity_usdt,
       peak_equity_usdt, net_transfers_usdt, unexplained_usdt
FROM reporting.account

-- name: positions
SELECT signal_id, strategy, symbol, side, quantity, entry_price, stop_price, take_profit_price, leverage, margin_usdt,
       risk_usdt, state, opened_at, protected_at
FROM reporting.positions ORDER BY opened_at

-- name: foreign_positions
SELECT symbol, side, quantity, entry_price, mark_price, liquidation_price, leverage, margin_usdt, unrealised_pnl_usdt,
       has_stop, stop_price, take_profit_price, first_seen_at, seen_at
FROM reporting.foreign_positions ORDER BY symbol, side LIMIT $1

-- name: trades
SELECT signal_id, strategy, symbol, side, quantity, entry_price, exit_price, leverage, margin_usdt, pnl_usdt, fees_usdt,
       funding_usdt, net_usdt, reason, closed_by, opened_at, protected_at, closed_at, books_missing
FROM reporting.trades
WHERE closed_at >= $1 AND ($2::text IS NULL OR symbol = $2)
ORDER BY closed_at DESC LIMIT $3

-- name: equity
-- The last snapshot of each of at most $3 equal slices of the time from $1 to $2, by leaps over the index: a month has
-- half a million of them, and sorting those takes longer than a statement may. The slice after the last is $2 itself.
SELECT newest.taken_at, wallet_usdt, equity_usdt, available_usdt, open_positions, net_transfers_usdt
FROM generate_series(1, $3::integer + 1) AS slice
CROSS JOIN LATERAL (
    SELECT taken_at, wallet_usdt, equity_usdt, available_usdt, open_positions, net_transfers_usdt
    FROM reporting.equity
    WHERE taken_at >= $1::timestamptz + ($2::timestamptz - $1) * ((slice - 1)::float8 / $3)
      AND taken_at < $1::timestamptz + ($2::timestamptz - $1) * (slice::float8 / $3)
      AND taken_at <= $2
    ORDER BY taken_at DESC LIMIT 1
) AS newest
ORDER BY slice

-- name: signals
SELECT signal_id, origin, strategy, symbol, action, confidence, price, alert_time, received_at, phoenix95_score,
       final_confidence, outcome, reason, decided_at, position_state, closed_reason, net_usdt, closed_trades,
       realised_usdt
FROM reporting.signal_results
WHERE ($1::text IS NULL OR symbol = $1)
ORDER BY received_at DESC LIMIT $2

-- name: signal_ids
-- `sig-` and enough of the front: two are enough to say that it is not unique. The range lets the index find it; `~`
-- comes after every character of an id.
SELECT signal_id FROM reporting.signals
WHERE signal_id >= $1::text AND signal_id < $1 || '~' AND starts_with(signal_id, $1)
ORDER BY received_at DESC LIMIT 2

-- name: newest_signal_id
SELECT signal_id FROM reporting.signals ORDER BY received_at DESC LIMIT 1

-- name: results_by_period
-- $1 is day, week or month; periods without a trade are not listed.
SELECT date_trunc($1, closed_at, 'UTC') AS starts_at, count(*) AS trades,
       count(*) FILTER (WHERE net_usdt > 0) AS wins,
       coalesce(sum(net_usdt), 0) AS net_usdt, coalesce(sum(fees_usdt), 0) AS fees_usdt
FROM reporting.trades
WHERE books_missing IS NULL
GROUP BY 1 ORDER BY 1 DESC LIMIT $2

-- name: totals
SELECT count(*) AS trades, count(*) FILTER (WHERE net_usdt > 0) AS wins,
       coalesce(sum(net_usdt), 0) AS net_usdt, coalesce(sum(fees_usdt), 0) AS fees_usdt
FROM reporting.trades WHERE closed_at >= $1 AND books_missing IS NULL

-- name: results_by_strategy
SELECT strategy, symbol, count(*) AS trades, count(*) FILTER (WHERE net_usdt > 0) AS wins,
       coalesce(sum(net_usdt), 0) AS net_usdt, coalesce(sum(fees_usdt), 0) AS fees_usdt
FROM reporting.trades WHERE closed_at >= $1 AND books_missing IS NULL
GROUP BY strategy, symbol ORDER BY coalesce(sum(net_usdt), 0) DESC, strategy, symbol LIMIT $2

-- name: outcomes
SELECT outcome, reason, count(*) AS signals
FROM reporting.signals WHERE received_at >= $1 AND outcome IS NOT NULL
GROUP BY outcome, reason ORDER BY count(*) DESC LIMIT $2

-- name: orders
SELECT client_id, signal_id, role, symbol, side, order_type, quantity, price, trigger_price, status, created_at,
       updated_at
FROM reporting.orders WHERE signal_id = $1 ORDER BY created_at LIMIT $2

-- name: fills
SELECT symbol, trade_id, signal_id, side, quantity, price, fee_usdt, realised_pnl_usdt, filled_at
FROM reporting.fills WHERE symbol = $1 AND filled_at >= $2 ORDER BY filled_at LIMIT $3

-- name: bars
SELECT opened_at, open, high, low, close, volume FROM reporting.bars
WHERE symbol = $1 AND opened_at >= $2 ORDER BY opened_at LIMIT $3

-- name: acts
SELECT at, actor, act, detail FROM reporting.acts ORDER BY id DESC LIMIT $1

-- name: context
SELECT (SELECT equity_usdt FROM reporting.account LIMIT 1) AS equity_usdt,
       (SELECT final_confidence FROM reporting.signals WHERE signal_id = $1 LIMIT 1) AS final_confidence
