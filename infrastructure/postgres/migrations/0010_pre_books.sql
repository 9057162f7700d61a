-- EXECUTE: a position that is gone frees its symbol first; its books may follow later.

-- What the books of a closed entry lack, and why; NULL: they are complete. While they are tried again, when next: a try
-- is claimed by moving this time on, so that replicas share the work. NULL with something missing: given up.
ALTER TABLE execute.entries
    ADD COLUMN books_missing text,
    ADD COLUMN books_next_try_at timestamptz,
    ADD COLUMN books_tries integer NOT NULL DEFAULT 0,
    -- Why it was closed, in the exchange's words where it refused a stop.
    ADD COLUMN close_detail text NOT NULL DEFAULT '',
    -- Books are kept of what was closed, and only what lacks something is tried again.
    ADD CONSTRAINT entries_books_of_closed CHECK (books_missing IS NULL OR state = 'closed'),
    ADD CONSTRAINT entries_books_tried CHECK (books_next_try_at IS NULL OR books_missing IS NOT NULL);
CREATE INDEX entries_books_due ON execute.entries (books_next_try_at) WHERE books_next_try_at IS NOT NULL;

-- How much of a position a closing order closed; NULL: not known yet. While a position is being closed, no more is sold
-- than our own entry can still hold.
ALTER TABLE execute.orders ADD COLUMN filled_quantity numeric(20, 8) CHECK (filled_quantity >= 0);

-- The fee as the exchange took it: an asset without a market has no value in USDT.
ALTER TABLE execute.fills
    ADD COLUMN fee_asset text NOT NULL DEFAULT 'USDT',
    ADD COLUMN fee_amount numeric(20, 8);

-- A result that lacks something is none: it stays out of every sum, and is shown as incomplete where trades are listed.
CREATE OR REPLACE VIEW execute.performance_by_strategy AS
SELECT strategy, count(*) AS trades, count(*) FILTER (WHERE pnl_usdt - fees_usdt + funding_usdt > 0) AS wins,
       sum(pnl_usdt - fees_usdt + funding_usdt) AS net_pnl_usdt, sum(fees_usdt) AS fees_usdt
FROM execute.entries
WHERE state = 'closed' AND books_missing IS NULL
GROUP BY strategy;

CREATE OR REPLACE VIEW reporting.trades AS
SELECT signal_id, strategy, symbol, side, filled_quantity AS quantity, entry_price, exit_price,
       (approval -> 'sizing' ->> 'leverage')::integer AS leverage,
       (approval -> 'sizing' ->> 'margin_usdt')::numeric AS margin_usdt,
       pnl_usdt, fees_usdt, funding_usdt, pnl_usdt - fees_usdt + funding_usdt AS net_usdt,
       ended_reason AS reason, closed_by, first_fill_at AS opened_at, protected_at, closed_at, books_missing
FROM execute.entries
WHERE state = 'closed';
