-- name: begin
INSERT INTO user_sessions (token_hash, person, role, expires_at)
VALUES ($1, $2, $3, clock_timestamp() + make_interval(hours => $4))

-- name: live
-- Sessions that may still be used; the table has no other judge of the time than the database.
SELECT token_hash, person, expires_at FROM user_sessions
WHERE token_hash = ANY($1::bytea[]) AND ended_at IS NULL AND expires_at > clock_timestamp()
  AND seen_at > clock_timestamp() - make_interval(mins => $2)

-- name: seen
-- At most one write a minute for a session, however busy it is.
UPDATE user_sessions SET seen_at = clock_timestamp()
WHERE token_hash = $1 AND seen_at < clock_timestamp() - make_interval(secs => $2)

-- name: is_known
SELECT EXISTS (SELECT 1 FROM user_sessions WHERE token_hash = ANY($1::bytea[]))

-- name: finish
UPDATE user_sessions SET ended_at = clock_timestamp() WHERE token_hash = $1 AND ended_at IS NULL

-- name: failed_logins
-- What the audit log says of the last $2 seconds: wrong passwords of this address and of all, and whether it has been
-- said already that it is too many. Not clock_timestamp(): it changes while the statement runs, so no index serves it,
-- and this table is kept for ever.
SELECT count(*) FILTER (WHERE actor = $1 AND detail ->> 'why' = $3) AS of_sender,
       count(*) FILTER (WHERE detail ->> 'why' = $3) AS of_all,
       count(*) FILTER (WHERE detail ->> 'why' = $4) > 0 AS is_told
FROM audit_log
WHERE at > now() - make_interval(secs => $2) AND act = 'login' AND result = 'refused'
