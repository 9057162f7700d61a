-- The alarms that are active, one row for each that was ever raised and is not pruned yet.

-- name: raise
INSERT INTO alarms (identity, name, severity, text, symbol, ends_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6))
ON CONFLICT (identity) DO UPDATE SET
    name = EXCLUDED.name, severity = EXCLUDED.severity, text = EXCLUDED.text, symbol = EXCLUDED.symbol,
    started_at = CASE WHEN alarms.ends_at <= clock_timestamp() THEN clock_timestamp() ELSE alarms.started_at END,
    ends_at = EXCLUDED.ends_at

-- name: end
UPDATE alarms SET ends_at = clock_timestamp() WHERE identity = $1 AND ends_at > clock_timestamp() RETURNING true

-- name: active
SELECT name, severity, text, symbol, started_at FROM alarms
WHERE ends_at > clock_timestamp()
ORDER BY array_position(ARRAY['critical', 'warning', 'info'], severity), started_at, identity LIMIT $1

-- name: prune
DELETE FROM alarms WHERE ends_at < now() - make_interval(days => $1)
