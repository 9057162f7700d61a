-- Transfers are the owner's, not results: what was paid in and taken out is kept beside the equity that contains it.

ALTER TABLE risk.account
    -- What the day's loss is a fraction of, moved in proportion by transfers; null: none today, the day's first equity.
    ADD COLUMN day_base_usdt numeric(20, 8),
    -- All transfers that equity_usdt contains; null until EXECUTE has reported them.
    ADD COLUMN net_transfers_usdt numeric(20, 8),
    -- What the wallet changed by and the exchange's own history does not explain yet.
    ADD COLUMN unexplained_usdt numeric(20, 8) NOT NULL DEFAULT 0,
    -- The equity before a withdrawal of all: what comes back is measured as it was before.
    ADD COLUMN emptied_from_usdt numeric(20, 8);

ALTER TABLE execute.equity_snapshots
    ADD COLUMN net_transfers_usdt numeric(20, 8) NOT NULL DEFAULT 0;

-- What the owner paid in (positive) and took out. The exchange numbers its rows by kind: read twice, kept once.
CREATE TABLE execute.transfers (
    kind text NOT NULL,
    tran_id text NOT NULL,
    amount_usdt numeric(20, 8) NOT NULL,
    moved_at timestamptz NOT NULL,  -- by the exchange's clock
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, tran_id)
);

-- How far the wallet is explained by the exchange's history: at this balance every row up to `until` is counted.
CREATE TABLE execute.account_ledger (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    wallet_usdt numeric(20, 8) NOT NULL,
    until timestamptz NOT NULL,
    rows_at_until text[] NOT NULL,  -- rows of that very millisecond that are counted: others may follow
    explained_at timestamptz NOT NULL DEFAULT now()
);

-- New columns at the end, so that the version before reads these views as it did.
CREATE OR REPLACE VIEW reporting.account AS
SELECT state, trading_epoch, wallet_usdt, equity_usdt, available_usdt, snapshot_taken_at, day, day_start_equity_usdt,
       peak_equity_usdt, day_base_usdt, net_transfers_usdt, unexplained_usdt
FROM risk.account;

CREATE OR REPLACE VIEW reporting.equity AS
SELECT taken_at, wallet_usdt, equity_usdt, available_usdt, open_positions, net_transfers_usdt
FROM execute.equity_snapshots;

CREATE VIEW reporting.transfers AS
SELECT kind, tran_id, amount_usdt, moved_at, recorded_at FROM execute.transfers;
