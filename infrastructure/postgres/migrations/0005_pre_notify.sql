-- NOTIFY: what was told to whom, and what still waits to be told.

CREATE TABLE notify.notifications (
    -- The fact's id: a fact that arrives twice is one notification.
    event_id text PRIMARY KEY,
    correlation_id text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    title text NOT NULL,
    body text NOT NULL,
    occurred_at timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    -- Telegram: attempts made, when it may be claimed, when it arrived, or since when and why it never will.
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    dropped_at timestamptz,
    dropped_because text,
    -- What was dropped for its age is told once, as a number.
    drop_told_at timestamptz,
    CHECK ((dropped_at IS NULL) = (dropped_because IS NULL)),
    -- A notification ends once: delivered or dropped.
    CHECK (delivered_at IS NULL OR dropped_at IS NULL),
    -- Danger does not go stale.
    CHECK (severity <> 'critical' OR dropped_because IS DISTINCT FROM 'too_old')
);
CREATE INDEX notifications_waiting ON notify.notifications (severity, occurred_at)
    WHERE delivered_at IS NULL AND dropped_at IS NULL;
CREATE INDEX notifications_drops_untold ON notify.notifications (dropped_at)
    WHERE dropped_because = 'too_old' AND drop_told_at IS NULL;
CREATE INDEX notifications_by_time ON notify.notifications (occurred_at DESC);
CREATE INDEX notifications_by_story ON notify.notifications (correlation_id);
