"""Taking up what another process let fall: frozen before an answer, between fill and stop, in a close.

Every replica looks, without a lease: a claimed entry is only looked up, never sent again, and placing a stop
and closing are reduce-only and idempotent. So a position is protected within its budget whoever is frozen,
the keeper included. It must never touch what this process itself has in hand.
"""

import asyncio
from datetime import datetime, timedelta

from services.execute.entry_flow import EntryFlow
from services.execute.exit_flow import ExitFlow
from services.execute.order_state import Entry, EntryState
from services.execute.ports import KeepsEntries
from shared import logs, metrics
from shared.clock import Clock
from shared.supervision import Done, Failed, attempt, came_round

LOOK_INTERVAL_S = 1.0
IN_DOUBT_S = 2.0
"""How long an entry may stand as `sending` or `filled` before another replica takes it up. A healthy process
needs milliseconds; a rescue has to fit into `protection_timeout_s` with room for the exchange's answers.
"""
CLOSING_S = 5.0
"""The same for `closing`: its stop still stands, and a close that is refused is not to be hammered."""
CLOSING_REST_S_MAX = 60.0
"""How seldom at last a close is taken up that keeps failing before it can send anything."""
AT_ONCE_MAX = 20

_log = logs.get(__name__)


class Rescue:
    """Finds entries that stall between two steps, and takes them further."""

    def __init__(self, store: KeepsEntries, entries: EntryFlow, exits: ExitFlow, clock: Clock) -> None:
        self._store = store
        self._entries = entries
        self._exits = exits
        self._clock = clock
        self._taken: set[str] = set()
        self._failures: dict[str, tuple[int, datetime]] = {}  # how many, and until when; by stalled entry
        self._is_blind = False

    async def watch(self) -> None:
        """Loop: look every `LOOK_INTERVAL_S`; a slow rescue keeps no other one waiting."""
        async with asyncio.TaskGroup() as group:
            while True:
                came_round()
                for entry in await self.stalled():
                    self._taken.add(entry.signal_id)
                    group.create_task(self.take_up(entry))
                await asyncio.sleep(LOOK_INTERVAL_S)

    async def stalled(self) -> list[Entry]:
        """Return what stalls in nobody's hand of this process; nothing while the database is away."""
        match await attempt(self._store.stalled(IN_DOUBT_S, CLOSING_S, AT_ONCE_MAX)):
            case Failed(error):
                if not self._is_blind:
                    _log.warning("rescue_is_blind", error=repr(error))
                self._is_blind = True
                return []
            case Done(found):
                self._is_blind = False
                names = {each.signal_id for each in found}
                self._failures = {name: each for name, each in self._failures.items() if name in names}
                free = AT_ONCE_MAX - len(self._taken)
                return [each for each in found if not self._is_in_hand(each)][:free]

    async def take_up(self, entry: Entry) -> None:
        """Do what the entry needs next; what fails is found again at a later look."""
        _log.warning(
            "stalled_entry_taken_up", correlation_id=entry.signal_id, state=entry.state, symbol=entry.symbol
        )
        metrics.ENTRIES_TAKEN_UP.labels(state=entry.state.value).inc()
        try:
            match await attempt(self._go_on(entry)):
                case Failed(error):
                    self._rest(entry)
                    _log.warning("rescue_failed", correlation_id=entry.signal_id, error=repr(error))
                case Done():
                    self._failures.pop(entry.signal_id, None)
        finally:
            self._taken.discard(entry.signal_id)

    async def _go_on(self, entry: Entry) -> None:
        if entry.state is EntryState.CLOSING:
            await self._exits.finish(entry)
        else:
            await self._entries.advance(entry.signal_id)

    def _rest(self, entry: Entry) -> None:
        """What fails is looked at ever more seldom; what may be unprotected never later than in seconds."""
        count, _ = self._failures.get(entry.signal_id, (0, None))
        rest_s_max = CLOSING_REST_S_MAX if entry.state is EntryState.CLOSING else IN_DOUBT_S
        rest_s = min(LOOK_INTERVAL_S * 2**count, rest_s_max)
        self._failures[entry.signal_id] = (min(count + 1, 20), self._clock() + timedelta(seconds=rest_s))

    def _rests(self, signal_id: str) -> bool:
        if signal_id not in self._failures:
            return False
        left = self._failures[signal_id][1] - self._clock()  # a clock that was set back makes no rest longer
        return timedelta() < left <= timedelta(seconds=CLOSING_REST_S_MAX)

    def _is_in_hand(self, entry: Entry) -> bool:
        return (
            entry.signal_id in self._taken
            or self._rests(entry.signal_id)
            or self._entries.has_in_hand(entry.signal_id)
            or self._exits.is_busy_with(entry.symbol)
        )
