-- NOTIFY: what it knows of the outside, kept over restarts: chats that Telegram moved, alarms that are active.

CREATE TABLE notify.telegram_moves (
    -- As the setting names it; Telegram gives a group a new id when it becomes a supergroup, once and for ever.
    old_id text PRIMARY KEY,
    new_id text NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    CHECK (old_id <> new_id)  -- else it would be followed for ever
);

CREATE TABLE notify.alarms (
    identity text PRIMARY KEY,
    name text NOT NULL,
    severity text NOT NULL,
    text text NOT NULL,
    symbol text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Ahead while the alarm is active: who raised it repeats it, or says that it is over.
    ends_at timestamptz NOT NULL
);
CREATE INDEX alarms_by_end ON notify.alarms (ends_at);

-- EXECUTE: what stands on the account and is not ours, as the keeper sees it at every look. It is shown wherever
-- positions are shown; nothing decides by it.

CREATE TABLE execute.foreign_positions (
    symbol text NOT NULL,
    side text NOT NULL CHECK (side IN ('long', 'short')),
    quantity numeric(20, 8) NOT NULL,
    entry_price numeric(20, 8) NOT NULL,
    mark_price numeric(20, 8) NOT NULL,
    liquidation_price numeric(20, 8) NOT NULL,
    leverage integer NOT NULL,
    margin_usdt numeric(20, 8) NOT NULL,
    unrealised_pnl_usdt numeric(20, 8) NOT NULL,
    has_stop boolean NOT NULL,
    stop_price numeric(20, 8),
    take_profit_price numeric(20, 8),
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (symbol, side)
);

CREATE TABLE execute.foreign_orders (
    symbol text NOT NULL,
    client_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('buy', 'sell')),
    order_type text NOT NULL,
    quantity numeric(20, 8),
    price numeric(20, 8),
    trigger_price numeric(20, 8),
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (symbol, client_id)
);

-- When each was looked at: "there is none" is true only of a look that took place.
CREATE TABLE execute.foreign_seen (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    positions_seen_at timestamptz,
    orders_seen_at timestamptz
);
INSERT INTO execute.foreign_seen DEFAULT VALUES;

-- Who asked for a close through HTTP: whoever has the request's id can ask what became of it.
CREATE TABLE execute.close_requests (
    request_id text PRIMARY KEY,
    -- Handled once the inbox has it.
    event_id text NOT NULL,
    symbol text,  -- null: all
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL
);
CREATE INDEX close_requests_by_time ON execute.close_requests (requested_at);

CREATE VIEW reporting.foreign_positions AS
SELECT symbol, side, quantity, entry_price, mark_price, liquidation_price, leverage, margin_usdt, unrealised_pnl_usdt,
       has_stop, stop_price, take_profit_price, first_seen_at, positions_seen_at AS seen_at
FROM execute.foreign_positions CROSS JOIN execute.foreign_seen;

-- BRAIN: how a trade ended and who asked for it, so that a signal's row tells its result.
ALTER TABLE brain.closed_trades ADD COLUMN reason text, ADD COLUMN closed_by text;
UPDATE brain.closed_trades SET reason = payload ->> 'reason', closed_by = payload ->> 'closed_by'
FROM brain.story
WHERE story.correlation_id = closed_trades.signal_id AND story.schema = 'position.closed.v1';
-- An exit's row tells what it closed.
CREATE INDEX closed_trades_by_closer ON brain.closed_trades (closed_by) WHERE closed_by IS NOT NULL;

-- What became of a signal after its outcome: the position that it opened, the trades that it closed. A view of its own:
-- older replicas read every column of reporting.signals, and know no others.
CREATE VIEW reporting.signal_results AS
SELECT signals.signal_id, signals.origin, signals.strategy, signals.symbol, signals.action, signals.confidence,
       signals.price, signals.alert_time, signals.received_at,
       (signals.analysis ->> 'phoenix95_score')::numeric AS phoenix95_score,
       (signals.analysis ->> 'final_confidence')::numeric AS final_confidence,
       outcomes.outcome::text AS outcome, outcomes.reason, outcomes.decided_at,
       CASE WHEN entries.state IN ('filled', 'protected', 'closing', 'closed') THEN entries.state::text
       END AS position_state,
       CASE WHEN entries.state = 'closed' THEN entries.ended_reason END AS closed_reason,
       CASE WHEN entries.state = 'closed' THEN entries.pnl_usdt - entries.fees_usdt + entries.funding_usdt
       END AS net_usdt,
       ended.trades AS closed_trades, ended.net_usdt AS realised_usdt
FROM brain.signals
LEFT JOIN brain.outcomes USING (signal_id)
LEFT JOIN execute.entries USING (signal_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS trades, sum(pnl_usdt - fees_usdt + funding_usdt) AS net_usdt
    FROM execute.entries AS theirs WHERE theirs.closed_by = signals.signal_id AND theirs.state = 'closed'
) AS ended ON true;

GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO phoenix_notify;
