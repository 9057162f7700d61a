-- NOTIFY: what became of a message is kept per channel, so that one channel's outage holds up no other.
--
-- Expand: the columns of notify.notifications that held it for one channel stay while older replicas run. A row that
-- newer code writes does not name them and is born ended for older code; a row that older code writes waits, and newer
-- code moves it over.

ALTER TABLE notify.notifications
    -- What summaries of many messages count by.
    ADD COLUMN gist text NOT NULL DEFAULT '',
    ADD COLUMN is_silent boolean NOT NULL DEFAULT false,
    -- Why nobody is sent this one at all: its kind is off, or it repeats one that was told.
    ADD COLUMN held_because text CHECK (held_because IN ('off', 'repeat')),
    ADD COLUMN picture bytea,
    ALTER COLUMN dropped_at SET DEFAULT now(),
    ALTER COLUMN dropped_because SET DEFAULT 'per_channel';

CREATE TABLE notify.deliveries (
    event_id text NOT NULL REFERENCES notify.notifications,
    channel text NOT NULL,
    -- Copied from the notification, for the queue's index.
    lane text NOT NULL CHECK (lane IN ('danger', 'trades', 'warning', 'routine')),
    occurred_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    dropped_at timestamptz,
    dropped_because text,
    -- What was dropped for its age is told once, as a number.
    drop_told_at timestamptz,
    PRIMARY KEY (event_id, channel),
    CHECK ((dropped_at IS NULL) = (dropped_because IS NULL)),
    -- A delivery ends once.
    CHECK (delivered_at IS NULL OR dropped_at IS NULL),
    -- Danger does not go stale.
    CHECK (lane <> 'danger' OR dropped_because IS DISTINCT FROM 'too_old')
);
CREATE INDEX deliveries_waiting ON notify.deliveries (channel, lane, occurred_at)
    WHERE delivered_at IS NULL AND dropped_at IS NULL;
CREATE INDEX deliveries_drops_untold ON notify.deliveries (channel, dropped_at)
    WHERE dropped_because = 'too_old' AND drop_told_at IS NULL;

-- What was sent or given up until now, by the one channel there was.
INSERT INTO notify.deliveries (event_id, channel, lane, occurred_at, attempts, next_attempt_at, delivered_at, dropped_at,
                               dropped_because, drop_told_at)
SELECT event_id, 'telegram', CASE severity WHEN 'critical' THEN 'danger' WHEN 'warning' THEN 'warning' ELSE 'routine' END,
       occurred_at, attempts, next_attempt_at, delivered_at, dropped_at, dropped_because, coalesce(drop_told_at, dropped_at)
FROM notify.notifications
WHERE delivered_at IS NOT NULL OR dropped_because IS DISTINCT FROM 'no_channel' AND dropped_at IS NOT NULL;

-- The same words again within ten minutes are counted here instead of being sent. One row decides for all replicas.
CREATE TABLE notify.repeats (
    words_hash bytea PRIMARY KEY,
    -- The one that was told.
    event_id text NOT NULL,
    correlation_id text NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    ends_at timestamptz NOT NULL,
    repeats integer NOT NULL DEFAULT 0
);
CREATE INDEX repeats_by_end ON notify.repeats (ends_at);

-- A daily report is made once, over all replicas and restarts.
CREATE TABLE notify.daily_reports (
    day date PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now()
);
