-- Every statement of RISK. The schema is risk, by search_path.

-- name: lock_account
-- The lock every decision and every fold of a fact takes: limits hold because only one looks and reserves at a
-- time (P5). A statement of its own: what is read after it sees all that the former holder committed. The time is
-- taken of the locked row, so after the wait for it.
WITH locked AS MATERIALIZED (
    SELECT state, trading_epoch, wallet_usdt, equity_usdt, available_usdt, snapshot_taken_at, day,
           day_start_equity_usdt, peak_equity_usdt, day_base_usdt, net_transfers_usdt, unexplained_usdt,
           emptied_from_usdt
    FROM account
    FOR NO KEY UPDATE
)
SELECT locked.*, clock_timestamp() AS locked_at FROM locked

-- name: read_account
SELECT state, trading_epoch, wallet_usdt, equity_usdt, available_usdt, snapshot_taken_at, day,
       day_start_equity_usdt, peak_equity_usdt, day_base_usdt, net_transfers_usdt, unexplained_usdt,
       emptied_from_usdt, clock_timestamp() AS read_at
FROM account

-- name: load_book
-- One row per reservation in the book (or asked for by name in $5), the counts repeated in each; a single row
-- with a null signal_id when the book is empty. Approvals are counted up to one above their limit, so that the
-- cost stays bounded; a limit of 0 is not counted. $1 start of the day, $2 start of the minute, $3 and $4 their
-- limits unless the operator changed them, $6 since when exits are still told.
WITH counts AS (
    SELECT
        (SELECT count(*) FROM (
            SELECT FROM reservations WHERE is_ours AND reserved_at >= $1
            LIMIT (SELECT CASE n WHEN 0 THEN 0 ELSE n + 1 END
                   FROM (SELECT coalesce((SELECT value::bigint FROM configuration
                                          WHERE name = 'entries_per_day_max'), $3::bigint) AS n) AS day_limit)
        ) AS day) AS entries_today,
        (SELECT count(*) FROM (
            SELECT FROM reservations WHERE is_ours AND reserved_at >= $2
            LIMIT (SELECT CASE n WHEN 0 THEN 0 ELSE n + 1 END
                   FROM (SELECT coalesce((SELECT value::bigint FROM configuration
                                          WHERE name = 'entries_per_minute_max'), $4::bigint) AS n) AS minute_limit)
        ) AS minute) AS entries_last_minute,
        (SELECT count(*) FROM reservations WHERE is_probe AND reserved_at >= $1) AS probes_today,
        (SELECT jsonb_object_agg(name, value) FROM configuration) AS overrides,
        (SELECT jsonb_agg(to_jsonb(exits)) FROM exits WHERE requested_at > $6) AS exits
)
SELECT counts.*, book.*
FROM counts
LEFT JOIN (
    SELECT signal_id, strategy, symbol, side, state::text AS state, is_ours, is_probe, quantity, entry_price,
           notional_usdt, margin_usdt, risk_usdt, position_version, reserved_at, valid_until, opened_at,
           snapshot_at, ended_because, closed_because, released_because, signal_received_at, signal_made_at
    FROM reservations
    WHERE state <> 'released' OR signal_id = ANY($5::text[])
) AS book ON true
ORDER BY book.reserved_at, book.signal_id

-- name: take_proposals
-- The inbox of many messages at once. $2 event ids, $3 the signal of each: a signal that was decided under another
-- event keeps its first decision. Runs under the account's lock, so nobody else decides meanwhile.
WITH taken AS (
    INSERT INTO inbox (queue, event_id) SELECT $1, unnest($2::text[])
    ON CONFLICT DO NOTHING
    RETURNING event_id
)
SELECT event_id, closings.closes
FROM taken
JOIN unnest($2::text[], $3::text[]) AS proposed (event_id, signal_id) USING (event_id)
LEFT JOIN closings USING (signal_id)
WHERE NOT EXISTS (SELECT FROM decisions WHERE decisions.signal_id = proposed.signal_id)

-- name: give_back_proposals
-- What is not decided yet is not handled: whoever it is delivered to next takes it up again.
DELETE FROM inbox WHERE queue = $1 AND event_id = ANY($2::text[])

-- name: record_closing
INSERT INTO closings (signal_id, closes) VALUES ($1, $2)

-- name: forget_closings
DELETE FROM closings WHERE signal_id = ANY($1::text[])

-- name: record_exit
-- The newest per symbol and strategy says all (`signal_order`); those without a stamp share the strategy ''. None was asked for
-- long after now: a clock that is ahead must not void the entries to come.
INSERT INTO exits AS known (symbol, strategy, requested_at, made_at)
VALUES ($1, $2, least($3, clock_timestamp() + interval '5 s'), $4)
ON CONFLICT (symbol, strategy) DO UPDATE
SET requested_at = greatest(known.requested_at, EXCLUDED.requested_at),
    made_at = greatest(known.made_at, EXCLUDED.made_at)

-- name: record_decision
INSERT INTO decisions (signal_id, symbol, side, approved, outcome, reason, checks, sizing, trading_epoch,
                       decided_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: save_account
UPDATE account
SET state = $1, trading_epoch = $2, wallet_usdt = $3, equity_usdt = $4, available_usdt = $5,
    snapshot_taken_at = $6, day = $7, day_start_equity_usdt = $8, peak_equity_usdt = $9, day_base_usdt = $10,
    net_transfers_usdt = $11, unexplained_usdt = $12, emptied_from_usdt = $13

-- name: save_reservation
INSERT INTO reservations AS reservation (
    signal_id, strategy, symbol, side, state, is_ours, is_probe, quantity, entry_price, notional_usdt,
    margin_usdt, risk_usdt, position_version, reserved_at, valid_until, opened_at, snapshot_at, ended_because,
    closed_because, released_because, signal_received_at, signal_made_at, released_at
)
VALUES ($1, $2, $3, $4, $5::text::reservation_state, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
        $19, $20, $21, $22, CASE WHEN $5::text = 'released' THEN $23::timestamptz END)
ON CONFLICT (signal_id) DO UPDATE
SET strategy = EXCLUDED.strategy, side = EXCLUDED.side, state = EXCLUDED.state, quantity = EXCLUDED.quantity,
    entry_price = EXCLUDED.entry_price, notional_usdt = EXCLUDED.notional_usdt,
    margin_usdt = EXCLUDED.margin_usdt, risk_usdt = EXCLUDED.risk_usdt,
    position_version = EXCLUDED.position_version, opened_at = EXCLUDED.opened_at,
    snapshot_at = EXCLUDED.snapshot_at, ended_because = EXCLUDED.ended_because,
    closed_because = EXCLUDED.closed_because, released_because = EXCLUDED.released_because,
    released_at = CASE WHEN EXCLUDED.state = 'released'
                       THEN coalesce(reservation.released_at, EXCLUDED.released_at) END

-- name: save_override
INSERT INTO configuration (name, value, changed_by) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE
SET value = EXCLUDED.value, changed_by = EXCLUDED.changed_by, changed_at = now()

-- name: audit
INSERT INTO audit_log (actor, act, detail) VALUES ($1, $2, $3)

-- name: prune_decisions
WITH old AS (
    SELECT signal_id FROM decisions WHERE decided_at < now() - make_interval(days => $1)
    ORDER BY decided_at LIMIT 1000
), forgotten AS (
    DELETE FROM decisions USING old WHERE decisions.signal_id = old.signal_id RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_reservations
WITH old AS (
    SELECT signal_id FROM reservations
    WHERE state = 'released' AND released_at < now() - make_interval(days => $1)
    ORDER BY released_at LIMIT 1000
), forgotten AS (
    DELETE FROM reservations USING old WHERE reservations.signal_id = old.signal_id RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_exits
WITH forgotten AS (
    DELETE FROM exits WHERE requested_at < now() - make_interval(days => $1) RETURNING true
)
SELECT count(*) FROM forgotten
