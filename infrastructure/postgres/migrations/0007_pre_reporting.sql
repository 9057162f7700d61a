-- REPORTING: what is shown to people, as views over the services' own tables. NOTIFY reads these and nothing else of
-- the others; a table may change as long as its view still tells the same. Views act with their owner's rights, so the
-- reader needs none on the tables.

CREATE SCHEMA reporting;

CREATE VIEW reporting.account AS
SELECT state, trading_epoch, wallet_usdt, equity_usdt, available_usdt, snapshot_taken_at, day, day_start_equity_usdt,
       peak_equity_usdt
FROM risk.account;

CREATE VIEW reporting.positions AS
SELECT signal_id, strategy, symbol, side, filled_quantity AS quantity, entry_price, stop_price, take_profit_price,
       (approval -> 'sizing' ->> 'leverage')::integer AS leverage,
       (approval -> 'sizing' ->> 'margin_usdt')::numeric AS margin_usdt,
       (approval -> 'sizing' ->> 'risk_usdt')::numeric AS risk_usdt,
       state::text AS state, first_fill_at AS opened_at, protected_at
FROM execute.entries
WHERE state IN ('filled', 'protected', 'closing');

CREATE VIEW reporting.trades AS
SELECT signal_id, strategy, symbol, side, filled_quantity AS quantity, entry_price, exit_price,
       (approval -> 'sizing' ->> 'leverage')::integer AS leverage,
       (approval -> 'sizing' ->> 'margin_usdt')::numeric AS margin_usdt,
       pnl_usdt, fees_usdt, funding_usdt, pnl_usdt - fees_usdt + funding_usdt AS net_usdt,
       ended_reason AS reason, closed_by, first_fill_at AS opened_at, protected_at, closed_at
FROM execute.entries
WHERE state = 'closed';

CREATE VIEW reporting.equity AS
SELECT taken_at, wallet_usdt, equity_usdt, available_usdt, open_positions FROM execute.equity_snapshots;

CREATE VIEW reporting.signals AS
SELECT signals.signal_id, signals.origin, signals.strategy, signals.symbol, signals.action, signals.confidence,
       signals.price, signals.alert_time, signals.received_at,
       (signals.analysis ->> 'phoenix95_score')::numeric AS phoenix95_score,
       (signals.analysis ->> 'final_confidence')::numeric AS final_confidence,
       outcomes.outcome::text AS outcome, outcomes.reason, outcomes.decided_at
FROM brain.signals LEFT JOIN brain.outcomes USING (signal_id);

CREATE VIEW reporting.orders AS
SELECT client_id, signal_id, role, symbol, side, order_type, quantity, price, trigger_price, status, created_at, updated_at
FROM execute.orders;

CREATE VIEW reporting.fills AS
SELECT symbol, trade_id, signal_id, side, quantity, price, fee_usdt, realised_pnl_usdt, filled_at FROM execute.fills;

CREATE VIEW reporting.bars AS
SELECT symbol, opened_at, open, high, low, close, volume FROM feed.bars;

-- What operators did through RISK: state and limits, and what they had recorded there.
CREATE VIEW reporting.acts AS
SELECT id, at, actor, act, detail FROM risk.audit_log;

-- The closed trades of a period are summed up for every report.
CREATE INDEX entries_closed_by_time ON execute.entries (closed_at) WHERE state = 'closed';

GRANT USAGE ON SCHEMA reporting TO phoenix_notify;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO phoenix_notify;
ALTER DEFAULT PRIVILEGES IN SCHEMA reporting GRANT SELECT ON TABLES TO phoenix_notify;
