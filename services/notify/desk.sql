-- name: propose
INSERT INTO confirmations (token_hash, actor, act, symbol, expires_at)
VALUES ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
RETURNING expires_at

-- name: use
-- One statement decides, so that of two who come at once one is too late.
UPDATE confirmations SET used_at = clock_timestamp(), used_for = $3
WHERE token_hash = $1 AND actor = $2 AND used_at IS NULL AND expires_at > clock_timestamp()
RETURNING act, symbol

-- name: look_up
SELECT actor, used_at FROM confirmations WHERE token_hash = $1

-- name: record
INSERT INTO audit_log (actor, act, result, detail) VALUES ($1, $2, $3, $4::jsonb)

-- name: newest_acts
SELECT at, actor, act, result, detail FROM audit_log ORDER BY at DESC, id DESC LIMIT $1

-- name: first_update
INSERT INTO inbox (queue, event_id) VALUES ('telegram', $1) ON CONFLICT DO NOTHING RETURNING true

-- name: prune_confirmations
DELETE FROM confirmations WHERE token_hash IN (
    SELECT token_hash FROM confirmations WHERE expires_at < now() - make_interval(days => $1) LIMIT $2
)

-- name: prune_sessions
DELETE FROM user_sessions WHERE token_hash IN (
    SELECT token_hash FROM user_sessions WHERE expires_at < now() - make_interval(days => $1) LIMIT $2
)
