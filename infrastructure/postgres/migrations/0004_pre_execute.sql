-- EXECUTE: entries and their life, the orders behind them, fills, positions, closed trades. FEED: bars.

-- Mirrored by the transition table in services/execute/order_state.py; a test keeps the two equal.
CREATE TYPE execute.entry_state AS ENUM (
    'intent',     -- committed, nothing sent            -> sending, expired
    'sending',    -- claimed; may or may not be placed  -> filled, expired, failed
    'filled',     -- a position stands, unprotected     -> protected, closing, closed
    'protected',  -- stop and take-profit stand         -> closing, closed
    'closing',    -- we are closing it                  -> closed
    'closed',     -- books closed                       (final)
    'expired',    -- no position, nothing went wrong    (final)
    'failed'      -- no position, something went wrong  (final; unknown that filled after all -> filled)
);

CREATE TABLE execute.entries (
    signal_id text PRIMARY KEY,
    client_id text NOT NULL UNIQUE,
    strategy text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('long', 'short')),
    state execute.entry_state NOT NULL,
    approval jsonb NOT NULL,
    trading_epoch bigint NOT NULL,
    valid_until timestamptz NOT NULL,
    signal_received_at timestamptz NOT NULL,
    -- P3: set once, by the one who may send. The order is signed with this time, so a frozen sender is refused.
    claimed_at timestamptz,
    quantity numeric(20, 8) NOT NULL CHECK (quantity > 0),
    limit_price numeric(20, 8),
    exchange_order_id text,
    filled_quantity numeric(20, 8) NOT NULL DEFAULT 0 CHECK (filled_quantity >= 0),
    entry_price numeric(20, 8),
    first_fill_at timestamptz,
    stop_price numeric(20, 8),
    take_profit_price numeric(20, 8),
    protected_at timestamptz,
    close_reason text,  -- why we set out to close it, and in whose name; how it ended is ended_reason
    closed_by text,
    close_attempts integer NOT NULL DEFAULT 0,
    exit_price numeric(20, 8),
    pnl_usdt numeric(20, 8),
    fees_usdt numeric(20, 8),
    funding_usdt numeric(20, 8),
    closed_at timestamptz,
    ended_reason text,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state = 'intent' OR state = 'expired' OR claimed_at IS NOT NULL),
    CHECK (state NOT IN ('filled', 'protected', 'closing', 'closed') OR filled_quantity > 0)
);
-- One position per symbol: while one lives, no second entry of that symbol may be claimed.
CREATE UNIQUE INDEX entries_one_per_symbol ON execute.entries (symbol)
    WHERE state IN ('sending', 'filled', 'protected', 'closing');
CREATE INDEX entries_alive ON execute.entries (state)
    WHERE state NOT IN ('closed', 'expired', 'failed');
-- P6: what reconciliation may adopt. P2: whether a close request found something to close.
CREATE INDEX entries_lost ON execute.entries (updated_at) WHERE state = 'failed' AND ended_reason = 'unknown';
CREATE INDEX entries_by_closer ON execute.entries (closed_by) WHERE closed_by IS NOT NULL;
CREATE INDEX entries_by_time ON execute.entries (created_at DESC);

CREATE TABLE execute.orders (
    client_id text PRIMARY KEY,
    signal_id text NOT NULL REFERENCES execute.entries,
    role text NOT NULL CHECK (role IN ('e', 's', 't', 'c')),
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    order_type text NOT NULL,
    quantity numeric(20, 8),
    price numeric(20, 8),
    trigger_price numeric(20, 8),
    status text NOT NULL,
    exchange_order_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_by_signal ON execute.orders (signal_id);

-- The exchange's trade id makes a fill unique, however often it is read.
CREATE TABLE execute.fills (
    symbol text NOT NULL,
    trade_id text NOT NULL,
    signal_id text NOT NULL REFERENCES execute.entries,
    exchange_order_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    quantity numeric(20, 8) NOT NULL CHECK (quantity > 0),
    price numeric(20, 8) NOT NULL CHECK (price > 0),
    fee_usdt numeric(20, 8) NOT NULL,
    realised_pnl_usdt numeric(20, 8) NOT NULL,
    filled_at timestamptz NOT NULL,
    PRIMARY KEY (symbol, trade_id)
);
CREATE INDEX fills_by_signal ON execute.fills (signal_id);

-- How each symbol stands on the exchange, so that an entry changes margin mode and leverage only when it must.
CREATE TABLE execute.margin_setups (
    symbol text PRIMARY KEY,
    is_isolated boolean NOT NULL,
    leverage integer NOT NULL CHECK (leverage BETWEEN 1 AND 150),
    set_at timestamptz NOT NULL DEFAULT now()
);

-- The newest trading state that RISK announced.
CREATE TABLE execute.trading_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state text NOT NULL DEFAULT 'ACTIVE',
    trading_epoch bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO execute.trading_state DEFAULT VALUES;

-- P8: the latest exit asked for, by symbol, `*` for all. It comes on another queue than the entries before it and
-- may overtake them: no entry of a signal up to then is claimed any more.
CREATE TABLE execute.exits (
    symbol text PRIMARY KEY,
    requested_at timestamptz NOT NULL
);

CREATE TABLE execute.equity_snapshots (
    taken_at timestamptz PRIMARY KEY,
    wallet_usdt numeric(20, 8) NOT NULL,
    equity_usdt numeric(20, 8) NOT NULL,
    available_usdt numeric(20, 8) NOT NULL,
    open_positions integer NOT NULL
);

CREATE VIEW execute.active_positions AS
SELECT signal_id, strategy, symbol, side, filled_quantity AS quantity, entry_price, stop_price, take_profit_price,
       (approval -> 'sizing' ->> 'leverage')::integer AS leverage, state, first_fill_at AS opened_at, protected_at,
       version
FROM execute.entries
WHERE state IN ('filled', 'protected', 'closing');

CREATE VIEW execute.performance_by_strategy AS
SELECT strategy, count(*) AS trades, count(*) FILTER (WHERE pnl_usdt - fees_usdt + funding_usdt > 0) AS wins,
       sum(pnl_usdt - fees_usdt + funding_usdt) AS net_pnl_usdt, sum(fees_usdt) AS fees_usdt
FROM execute.entries
WHERE state = 'closed'
GROUP BY strategy;

CREATE TABLE feed.bars (
    symbol text NOT NULL,
    opened_at timestamptz NOT NULL,
    open numeric(20, 8) NOT NULL,
    high numeric(20, 8) NOT NULL,
    low numeric(20, 8) NOT NULL,
    close numeric(20, 8) NOT NULL,
    volume numeric(28, 8) NOT NULL,
    PRIMARY KEY (symbol, opened_at),
    CHECK (low <= high AND open BETWEEN low AND high AND close BETWEEN low AND high)
);
CREATE INDEX bars_by_age ON feed.bars (opened_at);
