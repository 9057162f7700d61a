"""Taking over what our books do not know: looked at again, recorded, told (P7).

A position without an entry may be one that ended a moment ago, so everything is read again before it is
recorded; the record itself refuses a second entry for one symbol. It must never touch what is not ours,
unless a request names it as foreign.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.execute import facts
from services.execute.order_state import MAY_HAVE_POSITION
from services.execute.ports import Exchange, KeepsEntries, OwesMessages
from services.execute.takeover import entry_id_of, foreign_closing, ours_for, taken_over, taken_over_id_of
from services.execute.venue import AlgoReport, VenuePosition
from shared import logs
from shared.clock import Clock
from shared.models import CloseRequested

FILLS_AFTER = timedelta(seconds=1)
"""The fills that close a foreign position are those after its claim; the clocks may differ by so much."""

_log = logs.get(__name__)


class TakeOver:
    """Brings positions into our books."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        outbox: OwesMessages,
        installation: str,
        clock: Clock,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._outbox = outbox
        self._installation = installation
        self._clock = clock

    async def take_over(self, symbol: str) -> bool:
        """Take over a position that a stop of ours protects; False when there is none such (any more)."""
        position = next(iter(await self._unknown(symbol)), None)  # one-way mode: one per symbol
        if position is None:
            return False
        ours = ours_for(position, await self._exchange.open_algos(symbol), self._installation)
        if not ours:
            return False
        entry_id = entry_id_of(ours[0])
        if await self._store.is_closed((entry_id, taken_over_id_of(ours[0]))):
            await self._withdraw(ours)
            return False
        order = await self._exchange.find_order(symbol, entry_id)
        entry = taken_over(position, ours, order, self._installation, self._clock())
        told = facts.taken_over(entry, self._clock())
        async with self._store.transaction() as tx:
            if not await self._store.record_taken_over(tx, entry):
                return False
            await self._outbox.stage(tx, told)
        _log.error("position_taken_over", correlation_id=entry.signal_id, symbol=symbol)
        await self._outbox.publish(told)
        return True

    async def take_over_all(self, symbol: str | None) -> tuple[int, list[VenuePosition]]:
        """Take over what is ours, of one symbol or of all; return of how many, and what is left: not ours."""
        unknown = await self._unknown(symbol)
        foreign = [each for each in unknown if not await self.take_over(each.symbol)]
        return len(unknown) - len(foreign), foreign

    async def claim_foreign(self, position: VenuePosition, request: CloseRequested) -> bool:
        """Record that a position which is not ours is to be closed; False when this request has had it."""
        entry = foreign_closing(position, request, self._installation, self._opened_before())
        async with self._store.transaction() as tx:
            if not await self._store.record_taken_over(tx, entry):
                return False
        _log.warning("foreign_position_claimed", correlation_id=request.signal_id, symbol=position.symbol)
        return True

    async def _withdraw(self, left_behind: Sequence[AlgoReport]) -> None:
        """Cancel orders of a position that our books know to be over: they say nothing about the next one."""
        for each in left_behind:
            _log.error("order_left_behind", client_id=each.client_id, symbol=each.symbol)
            await self._exchange.cancel_algo(each.client_id)

    def _opened_before(self) -> datetime:
        return self._clock() - self._exchange.clock_ahead() - FILLS_AFTER

    async def _unknown(self, symbol: str | None) -> list[VenuePosition]:
        held = await self._exchange.positions(symbol)
        entries = await (self._store.unfinished() if symbol is None else self._store.unfinished_on(symbol))
        owned = {(each.symbol, each.side) for each in entries if each.state in MAY_HAVE_POSITION}
        return [each for each in held if (each.symbol, each.side) not in owned]
