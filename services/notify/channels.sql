-- Chats that Telegram gave another id.

-- name: moves
SELECT old_id, new_id FROM telegram_moves

-- name: move
INSERT INTO telegram_moves (old_id, new_id) VALUES ($1, $2)
ON CONFLICT (old_id) DO UPDATE SET new_id = EXCLUDED.new_id, moved_at = now()

-- name: rename_waiting
-- The setting names the new id now: what still waits under the old one is sent by it.
UPDATE deliveries SET channel = $2
WHERE channel = $1 AND delivered_at IS NULL AND dropped_at IS NULL
  AND NOT EXISTS (SELECT FROM deliveries AS there WHERE there.event_id = deliveries.event_id AND there.channel = $2)
