-- name: record_intent
-- The inbox and the intent in one statement, which is a transaction: both are recorded or neither.
WITH first_time AS (
    INSERT INTO inbox (queue, event_id) VALUES ($11, $12) ON CONFLICT DO NOTHING RETURNING true
)
INSERT INTO entries (signal_id, client_id, strategy, symbol, side, state, approval, trading_epoch, valid_until,
                     signal_received_at, quantity)
SELECT $1, $2, $3, $4, $5, 'intent', $6, $7::bigint, $8, $9, $10
FROM first_time
ON CONFLICT (signal_id) DO NOTHING

-- name: entry
SELECT * FROM entries WHERE signal_id = $1

-- name: standing
SELECT entries.*, trading_state.state AS newest_state, trading_state.trading_epoch AS newest_epoch
FROM entries CROSS JOIN trading_state
WHERE signal_id = $1

-- name: unfinished
SELECT * FROM entries WHERE state NOT IN ('closed', 'expired', 'failed') ORDER BY created_at

-- name: unfinished_on
SELECT * FROM entries
WHERE symbol = $1 AND state NOT IN ('closed', 'expired', 'failed')
ORDER BY created_at

-- name: lost
-- Given up as unknown not long ago: adopted when a position of theirs shows up after all (P6).
SELECT * FROM entries
WHERE state = 'failed' AND ended_reason = 'unknown' AND updated_at > now() - make_interval(hours => $1)
ORDER BY created_at

-- name: stalled
-- Asked every second by every replica: served by entries_alive, which holds what is unfinished and nothing else.
SELECT * FROM entries
WHERE state IN ('sending', 'filled', 'closing')
  AND updated_at < clock_timestamp()
      - make_interval(secs => CASE state WHEN 'closing' THEN $2::float8 ELSE $1::float8 END)
ORDER BY state = 'filled' DESC, updated_at
LIMIT $3

-- name: record_exit
-- The newest per symbol and strategy says all (`signal_order`); those without a stamp share the strategy ''. None was asked for
-- long after now: a clock that is ahead must not void the entries to come.
INSERT INTO exit_requests AS known (symbol, strategy, requested_at, made_at)
VALUES ($1, $2, least($3, clock_timestamp() + interval '5 s'), $4)
ON CONFLICT (symbol, strategy) DO UPDATE
SET requested_at = greatest(known.requested_at, EXCLUDED.requested_at),
    made_at = greatest(known.made_at, EXCLUDED.made_at)

-- name: is_superseded
SELECT EXISTS (
    SELECT FROM entries JOIN exit_requests AS leave ON leave.symbol IN (entries.symbol, '*')
    WHERE entries.signal_id = $1
      AND CASE WHEN leave.strategy = entries.strategy AND leave.made_at IS NOT NULL
                    AND entries.approval ->> 'signal_made_at' IS NOT NULL
               THEN leave.made_at > (entries.approval ->> 'signal_made_at')::timestamptz
                    OR leave.requested_at > entries.signal_received_at + make_interval(secs => $2)
               ELSE leave.requested_at >= entries.signal_received_at END
)

-- name: ends_for
SELECT EXISTS (SELECT FROM entries WHERE closed_by = $1)

-- name: claim
-- The one compare-and-set that permits sending: on the database clock, within the approval, under its epoch,
-- after every exit that was asked for since (P8).
UPDATE entries
SET state = 'sending', claimed_at = clock_timestamp(), limit_price = $2, updated_at = now(), version = version + 1
FROM trading_state
WHERE signal_id = $1
  AND entries.state = 'intent'
  AND valid_until > clock_timestamp()
  AND trading_state.state = 'ACTIVE'
  AND entries.trading_epoch >= trading_state.trading_epoch
  AND NOT EXISTS (  -- as in is_superseded
      SELECT FROM exit_requests AS leave
      WHERE leave.symbol IN (entries.symbol, '*')
        AND CASE WHEN leave.strategy = entries.strategy AND leave.made_at IS NOT NULL
                      AND entries.approval ->> 'signal_made_at' IS NOT NULL
                 THEN leave.made_at > (entries.approval ->> 'signal_made_at')::timestamptz
                      OR leave.requested_at > entries.signal_received_at + make_interval(secs => $3)
                 ELSE leave.requested_at >= entries.signal_received_at END
  )
RETURNING claimed_at

-- name: record_taken_over
-- A position that the exchange has and our books had not; the unique indices refuse what is known or taken.
INSERT INTO entries (signal_id, client_id, strategy, symbol, side, state, approval, trading_epoch, valid_until,
                     signal_received_at, claimed_at, quantity, exchange_order_id, filled_quantity, entry_price,
                     first_fill_at, stop_price, take_profit_price, protected_at, close_reason, closed_by)
SELECT signal_id, client_id, strategy, symbol, side, state, approval, trading_epoch, valid_until,
       signal_received_at, claimed_at, quantity, exchange_order_id, filled_quantity, entry_price,
       first_fill_at, stop_price, take_profit_price, protected_at, close_reason, closed_by
FROM jsonb_populate_record(NULL::entries, $1::jsonb)
ON CONFLICT DO NOTHING
RETURNING true

-- name: is_closed
SELECT EXISTS (SELECT FROM entries WHERE client_id = ANY($1::text[]) AND state = 'closed')

-- name: record_fill
-- Also of an entry that was given up as unknown: a position without an owner would stay unprotected (P6).
UPDATE entries
SET state = 'filled', exchange_order_id = $2, filled_quantity = $3, entry_price = $4, first_fill_at = $5,
    updated_at = now(), version = version + 1
WHERE signal_id = $1 AND (state = 'sending' OR (state = 'failed' AND ended_reason = 'unknown'))
RETURNING *

-- name: record_end
UPDATE entries
SET state = $2::entry_state, ended_reason = $3, updated_at = now(), version = version + 1
WHERE signal_id = $1 AND state::text = ANY($4::text[])
RETURNING *

-- name: record_protected
UPDATE entries
SET state = 'protected', stop_price = $2, take_profit_price = $3, protected_at = clock_timestamp(),
    updated_at = now(), version = version + 1
WHERE signal_id = $1 AND state = 'filled'
RETURNING *

-- name: record_closing
UPDATE entries
SET state = 'closing', close_reason = coalesce(close_reason, $2), closed_by = coalesce(closed_by, $3),
    close_detail = CASE WHEN close_reason IS NULL THEN $4 ELSE close_detail END, updated_at = now(), version = version + 1
WHERE signal_id = $1 AND state IN ('filled', 'protected')
RETURNING *

-- name: next_close_attempt
UPDATE entries
SET close_attempts = close_attempts + 1, updated_at = now()
WHERE signal_id = $1 AND state = 'closing'
RETURNING close_attempts

-- name: record_closed
UPDATE entries
-- A part of a result is none: it stays out of the row, and so of every sum, until the books are complete.
SET state = 'closed', ended_reason = $2, exit_price = $3,
    pnl_usdt = CASE WHEN $8::text IS NULL THEN $4::numeric END,
    fees_usdt = CASE WHEN $8::text IS NULL THEN $5::numeric END,
    funding_usdt = CASE WHEN $8::text IS NULL THEN $6::numeric END,
    closed_at = $7, books_missing = $8, updated_at = now(), version = version + 1,
    books_next_try_at = CASE WHEN $8::text IS NULL THEN NULL ELSE now() + interval '1 second' END
WHERE signal_id = $1 AND state IN ('filled', 'protected', 'closing')
RETURNING *

-- name: upsert_order
INSERT INTO orders (client_id, signal_id, role, symbol, side, order_type, quantity, price, trigger_price, status,
                    exchange_order_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (client_id) DO UPDATE
SET status = EXCLUDED.status,
    exchange_order_id = coalesce(EXCLUDED.exchange_order_id, orders.exchange_order_id),
    updated_at = now()

-- name: set_order_status
UPDATE orders
SET status = $2, filled_quantity = coalesce($3, filled_quantity),
    exchange_order_id = coalesce($4, exchange_order_id), updated_at = now()
WHERE client_id = $1
  AND (status <> $2 OR $3 IS DISTINCT FROM filled_quantity OR $4 IS DISTINCT FROM exchange_order_id)

-- name: closing_orders
SELECT * FROM orders WHERE signal_id = $1 AND role = 'c' ORDER BY created_at

-- name: claim_books
-- One try of one entry, whoever asks; the time of the next one is set with the claim, so that a killed process
-- loses nothing and what fails for ever is tried ever more seldom.
UPDATE entries
SET books_tries = books_tries + 1,
    books_next_try_at = now() + make_interval(secs => least($1::float8 * 2 ^ least(books_tries, 20), $2::float8))
WHERE signal_id = (
    SELECT signal_id FROM entries
    WHERE books_next_try_at <= now()
    ORDER BY books_next_try_at LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING *

-- name: record_books
UPDATE entries
SET ended_reason = $2, exit_price = $3, pnl_usdt = $4, fees_usdt = $5, funding_usdt = $6, closed_at = $7,
    books_missing = NULL, books_next_try_at = NULL, updated_at = now()
WHERE signal_id = $1 AND state = 'closed' AND books_missing IS NOT NULL
RETURNING signal_id

-- name: note_missing
UPDATE entries
SET books_missing = $2, books_next_try_at = CASE WHEN $3 THEN NULL ELSE books_next_try_at END
WHERE signal_id = $1 AND books_missing IS NOT NULL

-- name: books_incomplete
SELECT count(*) FROM entries WHERE books_next_try_at IS NOT NULL

-- name: insert_fills
INSERT INTO fills (symbol, trade_id, signal_id, exchange_order_id, side, quantity, price, fee_usdt,
                   realised_pnl_usdt, filled_at, fee_asset, fee_amount)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::numeric[],
                     $8::numeric[], $9::numeric[], $10::timestamptz[], $11::text[], $12::numeric[])
-- Read again when books are completed: the fee may have got its value, and which part is ours may be clearer.
ON CONFLICT (symbol, trade_id) DO UPDATE
SET quantity = EXCLUDED.quantity, fee_usdt = EXCLUDED.fee_usdt, fee_amount = EXCLUDED.fee_amount,
    realised_pnl_usdt = EXCLUDED.realised_pnl_usdt
WHERE fills.signal_id = EXCLUDED.signal_id

-- name: trading_state
SELECT state, trading_epoch FROM trading_state

-- name: set_trading_state
-- Epochs only grow; within one, the later change holds. Whatever is older came late.
UPDATE trading_state SET state = $1, trading_epoch = $2, changed_at = $3
WHERE (trading_epoch, changed_at) <= ($2, $3)

-- name: insert_snapshot
INSERT INTO equity_snapshots (taken_at, wallet_usdt, equity_usdt, available_usdt, open_positions, net_transfers_usdt)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: explained
SELECT wallet_usdt, until, rows_at_until FROM account_ledger

-- name: record_explained
INSERT INTO account_ledger (wallet_usdt, until, rows_at_until) VALUES ($1, $2, $3)
ON CONFLICT (only_row) DO UPDATE
SET wallet_usdt = EXCLUDED.wallet_usdt, until = EXCLUDED.until, rows_at_until = EXCLUDED.rows_at_until,
    explained_at = now()

-- name: insert_transfer
INSERT INTO transfers (kind, tran_id, amount_usdt, moved_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING

-- name: net_transfers
SELECT coalesce(sum(amount_usdt), 0) FROM transfers

-- name: prune_equity
-- Months that are over; the function belongs to the schema's owner, because services may not drop tables.
SELECT keep_equity($1)

-- name: prune_trades
WITH old AS (
    SELECT signal_id FROM entries
    WHERE created_at < now() - make_interval(days => $1) AND state IN ('closed', 'expired', 'failed')
    ORDER BY created_at LIMIT 500
), forgotten_fills AS (
    DELETE FROM fills USING old WHERE fills.signal_id = old.signal_id
), forgotten_orders AS (
    DELETE FROM orders USING old WHERE orders.signal_id = old.signal_id
), forgotten AS (
    DELETE FROM entries USING old WHERE entries.signal_id = old.signal_id RETURNING true
)
SELECT count(*) FROM forgotten

-- name: orders
SELECT client_id, signal_id, role, symbol, side, order_type, quantity, price, trigger_price, status,
       exchange_order_id, created_at, updated_at
FROM orders ORDER BY created_at DESC LIMIT $1

-- name: margin_setup
SELECT is_isolated, leverage FROM margin_setups WHERE symbol = $1

-- name: margin_setups
SELECT symbol, is_isolated, leverage FROM margin_setups

-- name: forget_margin_setup
DELETE FROM margin_setups WHERE symbol = $1

-- name: record_margin_setup
INSERT INTO margin_setups (symbol, is_isolated, leverage) VALUES ($1, $2, $3)
ON CONFLICT (symbol) DO UPDATE
SET is_isolated = EXCLUDED.is_isolated, leverage = EXCLUDED.leverage, set_at = now()

-- name: record_foreign_positions
WITH found AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS found (
        symbol text, side text, quantity numeric, entry_price numeric, mark_price numeric, liquidation_price numeric,
        leverage integer, margin_usdt numeric, unrealised_pnl_usdt numeric, has_stop boolean, stop_price numeric,
        take_profit_price numeric)
), gone AS (
    DELETE FROM foreign_positions
    WHERE NOT EXISTS (SELECT FROM found WHERE (found.symbol, found.side) = (foreign_positions.symbol, foreign_positions.side))
), seen AS (
    UPDATE foreign_seen SET positions_seen_at = clock_timestamp()
)
INSERT INTO foreign_positions (symbol, side, quantity, entry_price, mark_price, liquidation_price, leverage, margin_usdt,
                               unrealised_pnl_usdt, has_stop, stop_price, take_profit_price)
SELECT symbol, side, quantity, entry_price, mark_price, liquidation_price, leverage, margin_usdt, unrealised_pnl_usdt,
       has_stop, stop_price, take_profit_price
FROM found
ON CONFLICT (symbol, side) DO UPDATE SET
    quantity = EXCLUDED.quantity, entry_price = EXCLUDED.entry_price, mark_price = EXCLUDED.mark_price,
    liquidation_price = EXCLUDED.liquidation_price, leverage = EXCLUDED.leverage, margin_usdt = EXCLUDED.margin_usdt,
    unrealised_pnl_usdt = EXCLUDED.unrealised_pnl_usdt, has_stop = EXCLUDED.has_stop,
    stop_price = EXCLUDED.stop_price, take_profit_price = EXCLUDED.take_profit_price

-- name: record_foreign_orders
WITH found AS (
    SELECT DISTINCT ON (symbol, client_id) * FROM jsonb_to_recordset($1::jsonb) AS found (
        symbol text, client_id text, side text, order_type text, quantity numeric, price numeric, trigger_price numeric)
), gone AS (
    DELETE FROM foreign_orders
    WHERE NOT EXISTS (
        SELECT FROM found WHERE (found.symbol, found.client_id) = (foreign_orders.symbol, foreign_orders.client_id))
), seen AS (
    UPDATE foreign_seen SET orders_seen_at = clock_timestamp()
)
INSERT INTO foreign_orders (symbol, client_id, side, order_type, quantity, price, trigger_price)
SELECT symbol, client_id, side, order_type, quantity, price, trigger_price FROM found
ON CONFLICT (symbol, client_id) DO UPDATE SET
    side = EXCLUDED.side, order_type = EXCLUDED.order_type, quantity = EXCLUDED.quantity, price = EXCLUDED.price,
    trigger_price = EXCLUDED.trigger_price

-- name: foreign_positions
SELECT symbol, side, trim_scale(quantity) AS quantity, trim_scale(entry_price) AS entry_price,
       trim_scale(mark_price) AS mark_price, trim_scale(liquidation_price) AS liquidation_price, leverage,
       trim_scale(margin_usdt) AS margin_usdt, trim_scale(unrealised_pnl_usdt) AS unrealised_pnl_usdt, has_stop,
       trim_scale(stop_price) AS stop_price, trim_scale(take_profit_price) AS take_profit_price, first_seen_at
FROM foreign_positions ORDER BY symbol, side LIMIT $1

-- name: foreign_orders
SELECT symbol, client_id, side, order_type, trim_scale(quantity) AS quantity, trim_scale(price) AS price,
       trim_scale(trigger_price) AS trigger_price, first_seen_at
FROM foreign_orders ORDER BY symbol, client_id LIMIT $1

-- name: foreign_seen
SELECT positions_seen_at, orders_seen_at FROM foreign_seen

-- name: record_close_request
INSERT INTO close_requests (request_id, event_id, symbol, requested_by, requested_at) VALUES ($1, $2, $3, $4, $5)

-- name: close_request
-- Handled: the inbox has its message, or had it: the inbox is pruned, and no message waits for an hour.
SELECT request_id, symbol, requested_by, requested_at,
       requested_at < now() - interval '1 hour' OR EXISTS (
           SELECT FROM inbox WHERE inbox.event_id = close_requests.event_id AND queue = $2
       ) AS is_handled
FROM close_requests WHERE request_id = $1

-- name: entries_closed_by
SELECT signal_id, strategy, symbol, side, state::text AS state, filled_quantity AS quantity, entry_price, exit_price,
       pnl_usdt - fees_usdt + funding_usdt AS net_pnl_usdt, ended_reason AS reason, closed_at
FROM entries WHERE closed_by = $1 ORDER BY symbol, signal_id LIMIT $2

-- name: prune_close_requests
WITH forgotten AS (
    DELETE FROM close_requests WHERE request_id IN (
        SELECT request_id FROM close_requests WHERE requested_at < now() - make_interval(days => $1)
        ORDER BY requested_at LIMIT 500
    ) RETURNING true
)
SELECT count(*) FROM forgotten

-- name: prune_exits
WITH forgotten AS (
    DELETE FROM exit_requests WHERE requested_at < now() - make_interval(days => $1) RETURNING true
)
SELECT count(*) FROM forgotten
