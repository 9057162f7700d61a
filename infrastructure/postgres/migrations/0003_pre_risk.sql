-- RISK: the account as last reported, the reservations, the state in force, the decisions.

-- One row, locked by every decision: that lock is what makes limits hold under concurrency (P5).
CREATE TABLE risk.account (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    state text NOT NULL DEFAULT 'ACTIVE' CHECK (state IN ('ACTIVE', 'REDUCING', 'HALTED')),
    -- Raised on every HALT or REDUCE: approvals of an older epoch are void.
    trading_epoch bigint NOT NULL DEFAULT 1,
    wallet_usdt numeric(20, 8),
    equity_usdt numeric(20, 8),
    available_usdt numeric(20, 8),
    snapshot_taken_at timestamptz,
    -- The day's first equity and the highest ever seen: what daily loss and drawdown are measured against.
    day date,
    day_start_equity_usdt numeric(20, 8),
    peak_equity_usdt numeric(20, 8)
);
INSERT INTO risk.account DEFAULT VALUES;

CREATE TYPE risk.reservation_state AS ENUM (
    'held',      -- approved, no position yet -> open, released
    'open',      -- the position stands       -> released
    'released'   -- risk is free again        -> open, when the exchange shows the position after all
);

CREATE TABLE risk.reservations (
    signal_id text PRIMARY KEY,
    strategy text NOT NULL,
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('long', 'short')),
    state risk.reservation_state NOT NULL,
    is_ours boolean NOT NULL DEFAULT true,
    is_probe boolean NOT NULL DEFAULT false,
    quantity numeric(20, 8) NOT NULL CHECK (quantity > 0),
    entry_price numeric(20, 8) NOT NULL CHECK (entry_price > 0),
    notional_usdt numeric(20, 8) NOT NULL,
    margin_usdt numeric(20, 8) NOT NULL CHECK (margin_usdt >= 0),
    risk_usdt numeric(20, 8) NOT NULL CHECK (risk_usdt >= 0),
    -- What facts told, joined so that their order does not matter: the highest version, when it opened, the newest
    -- snapshot that showed it, an end without a position, a close (final). The state follows from these.
    position_version bigint NOT NULL DEFAULT 0,
    reserved_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    opened_at timestamptz,
    snapshot_at timestamptz,
    ended_because text,
    closed_because text,
    released_at timestamptz,
    released_because text,
    CHECK ((state = 'released') = (released_at IS NOT NULL)),
    CHECK ((state = 'released') = (released_because IS NOT NULL)),
    CHECK (closed_because IS NULL OR state = 'released')
);
-- The book is what is not released; it stays small, so it is read whole by every decision.
CREATE INDEX reservations_book ON risk.reservations (symbol) WHERE state <> 'released';
-- Approvals of a day and of a minute are counted here.
CREATE INDEX reservations_by_time ON risk.reservations (reserved_at DESC) WHERE is_ours;

-- One decision per signal, however often it is delivered (P3): the primary key is the promise.
CREATE TABLE risk.decisions (
    signal_id text PRIMARY KEY,
    symbol text NOT NULL,
    side text NOT NULL,
    approved boolean NOT NULL,
    outcome text,
    reason text NOT NULL,
    checks jsonb NOT NULL,
    sizing jsonb,
    trading_epoch bigint NOT NULL,
    decided_at timestamptz NOT NULL,
    CHECK (approved = (sizing IS NOT NULL)),
    CHECK (approved = (outcome IS NULL))
);
CREATE INDEX decisions_by_time ON risk.decisions (decided_at DESC);

-- Limits that an operator changed; what is absent comes from the settings.
CREATE TABLE risk.configuration (
    name text PRIMARY KEY,
    value text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    changed_by text NOT NULL
);

-- Append-only (the role may insert and read): who changed what, when and why.
CREATE TABLE risk.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    act text NOT NULL,
    detail jsonb NOT NULL
);
