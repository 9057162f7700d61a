-- RISK and EXECUTE: exits with what orders them against entries: the strategy and the alert's own stamp. Alerts of one
-- reversal bear the same second and arrive in either order.
--
-- Expand: execute.exits stays while older replicas write it; nothing newer reads it.

-- P8: the newest exit asked for, by symbol (`*` for all) and strategy. It comes on another queue than the entries before
-- it and may overtake them: no entry that it comes after is claimed any more. Exits without a stamp are compared by their
-- receipt, whoever asked, and share the strategy ''.
CREATE TABLE execute.exit_requests (
    symbol text NOT NULL,
    strategy text NOT NULL,
    requested_at timestamptz NOT NULL,
    made_at timestamptz,
    PRIMARY KEY (symbol, strategy),
    -- The two maxima of a row stand for all its exits only if all of them bear a stamp, or none.
    CHECK ((strategy = '') = (made_at IS NULL))
);

-- The same for RISK, which judges an entry as if what an exit before it closes were gone.
CREATE TABLE risk.exits (
    symbol text NOT NULL,
    strategy text NOT NULL,
    requested_at timestamptz NOT NULL,
    made_at timestamptz,
    PRIMARY KEY (symbol, strategy),
    CHECK ((strategy = '') = (made_at IS NULL))
);

-- on_opposite = close: what a signal had closed while its own entry still waits for word of an exit. A row lives as long
-- as the signal is undecided; after it the flat symbol must not be taken for an invitation to enter.
CREATE TABLE risk.closings (
    signal_id text PRIMARY KEY,
    closes text NOT NULL
);

-- When the signal of a reservation came; absent where it is known from the exchange only, or is older than this.
ALTER TABLE risk.reservations
    ADD COLUMN signal_received_at timestamptz,
    ADD COLUMN signal_made_at timestamptz;
