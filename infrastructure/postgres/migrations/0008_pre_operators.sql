-- NOTIFY: who came through the dashboard and the chat, what they set out to do, and what became of it.

-- A session of the dashboard. The cookie itself is never kept, only its SHA-256: who reads this table cannot log in.
CREATE TABLE notify.user_sessions (
    token_hash bytea PRIMARY KEY,
    person text NOT NULL,
    role text NOT NULL CHECK (role IN ('viewer', 'operator')),
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX user_sessions_by_expiry ON notify.user_sessions (expires_at);

-- The first of two steps: what somebody set out to do and has not confirmed yet. A row is used once; that is what makes
-- a replayed confirmation harmless.
CREATE TABLE notify.confirmations (
    token_hash bytea PRIMARY KEY,
    actor text NOT NULL,
    act text NOT NULL,
    symbol text,
    proposed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    used_for text CHECK (used_for IN ('confirmed', 'withdrawn')),
    CHECK ((used_at IS NULL) = (used_for IS NULL))
);
CREATE INDEX confirmations_by_expiry ON notify.confirmations (expires_at);

-- Append-only (the role may insert and read): every act at a door of ours, the refused ones too.
CREATE TABLE notify.audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    act text NOT NULL,
    result text NOT NULL CHECK (result IN ('proposed', 'withdrawn', 'confirmed', 'performed', 'failed', 'unanswered', 'refused')),
    detail jsonb NOT NULL
);
CREATE INDEX audit_log_by_time ON notify.audit_log (at DESC);
REVOKE UPDATE, DELETE ON notify.audit_log FROM phoenix_notify;
