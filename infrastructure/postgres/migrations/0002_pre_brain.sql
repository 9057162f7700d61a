-- BRAIN: every accepted signal, what it was scored with, what happened to it, how it ended.

CREATE TYPE brain.outcome_kind AS ENUM ('opened', 'closed', 'no_op', 'rejected', 'expired', 'failed');

CREATE TABLE brain.signals (
    signal_id text PRIMARY KEY,
    origin text NOT NULL CHECK (origin IN ('alert', 'manual')),
    strategy text NOT NULL,
    symbol text NOT NULL,
    action text NOT NULL CHECK (action IN ('long', 'short', 'exit')),
    confidence numeric(20, 8) NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    price numeric(20, 8) CHECK (price > 0),
    alert_time timestamptz,
    received_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    signal jsonb NOT NULL,
    analysis jsonb
);
CREATE INDEX signals_by_time ON brain.signals (received_at DESC);
CREATE INDEX signals_by_symbol ON brain.signals (symbol, received_at DESC);
CREATE INDEX signals_by_record ON brain.signals (recorded_at);

-- Deduplication lives here and nowhere else: one row per key, first sight wins. A windowed key (an equal body) may
-- be taken again once its window has passed since the first sight.
CREATE TABLE brain.signal_keys (
    dedupe_key text PRIMARY KEY,
    signal_id text NOT NULL,
    first_seen_at timestamptz NOT NULL,
    window_s integer CHECK (window_s > 0)
);
CREATE INDEX signal_keys_windowed ON brain.signal_keys (first_seen_at) WHERE window_s IS NOT NULL;

-- A repeated alert that got an id of its own: the id leads to the signal it repeats.
CREATE TABLE brain.duplicates (
    signal_id text PRIMARY KEY,
    duplicate_of text NOT NULL,
    received_at timestamptz NOT NULL,
    CHECK (signal_id <> duplicate_of)
);
CREATE INDEX duplicates_by_time ON brain.duplicates (received_at);

-- P2: exactly one outcome per accepted signal; the primary key is the promise. No foreign key: the fact that
-- decides may arrive before the signal it is about.
CREATE TABLE brain.outcomes (
    signal_id text PRIMARY KEY,
    outcome brain.outcome_kind NOT NULL,
    reason text NOT NULL,
    decided_at timestamptz NOT NULL
);
CREATE INDEX outcomes_by_time ON brain.outcomes (decided_at DESC);

-- P10: everything that was told about a signal. One fact may belong to two stories: the closing of a position is the
-- end of the entry's and of the exit's.
CREATE TABLE brain.story (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id text NOT NULL,
    correlation_id text NOT NULL,
    causation_id text,
    schema text NOT NULL,
    producer text NOT NULL,
    occurred_at timestamptz NOT NULL,
    payload jsonb NOT NULL,
    PRIMARY KEY (correlation_id, event_id)
);

-- Own closed trades, for the odds (6.3): result as a fraction of the entry price, costs included.
CREATE TABLE brain.closed_trades (
    signal_id text PRIMARY KEY,
    strategy text NOT NULL,
    symbol text NOT NULL,
    return_fraction numeric(20, 8) NOT NULL,
    net_pnl_usdt numeric(20, 8) NOT NULL,
    closed_at timestamptz NOT NULL
);
CREATE INDEX closed_trades_by_time ON brain.closed_trades (closed_at DESC, signal_id);

-- A row never goes from closed back to open, so that facts may come late, twice, or in any order.
CREATE TABLE brain.open_positions (
    signal_id text PRIMARY KEY,
    symbol text NOT NULL,
    version bigint NOT NULL,
    is_open boolean NOT NULL
);
CREATE INDEX open_positions_open ON brain.open_positions (signal_id) WHERE is_open;
