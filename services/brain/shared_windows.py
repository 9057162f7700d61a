"""The moving windows of all replicas together, in Redis: one script, one round trip for many questions.

Each window is a list of the moments of its newest takes, on Redis's own clock, so that replicas need not
agree on the time. It must never decide what happens without Redis.
"""

from collections.abc import Sequence

from services.brain.rate_windows import GIVE_BACK, WINDOW_S, Ask
from shared.redis_client import RedisClient, translated

KEY_PREFIX = "rate:webhook:"

_MS = 1_000
_WINDOW_MS = WINDOW_S * _MS
_JUDGE = f"""
local time = redis.call('TIME')
local now = time[1] * {_MS} + math.floor(time[2] / {_MS})
local waits = {{}}
for index, key in ipairs(KEYS) do
  local limit = tonumber(ARGV[index])
  waits[index] = 0
  if limit == {GIVE_BACK} then
    redis.call('LPOP', key)
  else
    local oldest = redis.call('LINDEX', key, limit - 1)
    local wait = oldest and oldest + {_WINDOW_MS} - now or 0
    if wait > 0 then
      waits[index] = wait
    else
      redis.call('LPUSH', key, now)
      redis.call('LTRIM', key, 0, limit - 1)
      redis.call('PEXPIRE', key, {_WINDOW_MS})
    end
  end
end
return waits
"""
"""Per key: when the take that is `limit` places back is younger than the window, there is no place."""


class SharedWindows:
    """The windows that all replicas share; implements `CountsTogether`."""

    def __init__(self, redis: RedisClient) -> None:
        self._judge = redis.commands.register_script(_JUDGE)

    async def judge(self, asks: Sequence[Ask]) -> list[float]:
        """Return for each question 0 when a place was taken, else for how many seconds there is none.

        Raises:
            RedisUnavailable: no answer; places may have been taken.
        """
        async with translated():
            waits = await self._judge(
                keys=[KEY_PREFIX + ask.key for ask in asks], args=[ask.limit for ask in asks]
            )
        return [wait / _MS for wait in waits]
