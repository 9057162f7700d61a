"""Leverage and margin mode on the exchange: true before an entry is sent, watched while a position is open.

Whatever changed them (a person in the app, another bot, another replica, an answer of ours that was lost),
the exchange is read or set before an order depends on them, and what they did to a position is looked at
after it. A position whose liquidation comes before its stop protects is closed: margin that is added from
here could be added twice, and lower leverage is refused while it is open. It must never raise what a position
may lose.
"""

import asyncio
from collections.abc import Mapping

from services.execute import facts
from services.execute.closing_orders import PUBLISH_S
from services.execute.error_classes import VenueRefused
from services.execute.exit_flow import ExitFlow
from services.execute.leverage_manager import (
    MarginMemory,
    SetupStep,
    changed_elsewhere,
    setup_steps,
    why_stop_is_useless,
)
from services.execute.order_state import HAS_POSITION, Entry, EntryState
from services.execute.ports import Exchange, KeepsEntries, OwesMessages, ReadsMargins
from services.execute.venue import MarginSetup, VenuePosition
from shared import logs
from shared.clock import Clock
from shared.errors import ExchangeRefused, ExchangeUnavailable, ExecutionUnknown
from shared.supervision import Failed, attempt, within
from shared.values import CloseReason, Severity

LOOK_INTERVAL_S = 0.25
RETRY_S = 5.0

_log = logs.get(__name__)


class MarginFlow:
    """Makes symbols stand as approvals say, and notices when they do not."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        venue: ReadsMargins,
        outbox: OwesMessages,
        exits: ExitFlow,
        memory: MarginMemory,
        clock: Clock,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._venue = venue
        self._outbox = outbox
        self._exits = exits
        self._memory = memory
        self._clock = clock
        self._reported: dict[str, MarginSetup] = {}  # bounded by the number of symbols

    def is_set_up(self, entry: Entry) -> bool:
        """Tell whether the symbol is known to stand as approved, right now."""
        return self._memory.fresh(entry.symbol, self._clock()) == _wanted(entry)

    def forget(self, symbol: str) -> None:
        """Forget how a symbol stands: the exchange contradicts what we know of it."""
        self._memory.forget([symbol])

    async def set_up(self, entry: Entry) -> None:
        """Set margin mode and leverage of the symbol where they differ; read them unless they are known.

        Raises:
            VenueRefused, ExecutionUnknown: the symbol may not stand as it must.
            ExchangeUnavailable: it could not be read.
        """
        symbol, wanted = entry.symbol, _wanted(entry)
        known = self._memory.fresh(symbol, self._clock()) or await self._read(symbol)
        if known == wanted:
            return
        # Before it is done: the stream's word of it must not be taken for somebody else's doing.
        await self._store.record_margin_setup(symbol, wanted)
        begun = self._memory.reading()
        try:
            await self._change(symbol, known, wanted.leverage)
        except (VenueRefused, ExecutionUnknown, ExchangeUnavailable) as failed:
            self._memory.forget([symbol])
            await self._store.forget_margin_setup(symbol)
            if isinstance(failed, ExecutionUnknown) and await self._read(symbol) == wanted:
                return  # the answer was lost, not the request
            raise
        self._memory.note({symbol: wanted}, begun, self._clock())

    async def _change(self, symbol: str, known: MarginSetup, leverage: int) -> None:
        for step in setup_steps(known, leverage):
            if step is SetupStep.SET_ISOLATED:
                await self._exchange.set_isolated(symbol)
            else:
                await self._exchange.set_leverage(symbol, leverage)

    async def _read(self, symbol: str) -> MarginSetup:
        begun = self._memory.reading()
        found = (await self._venue.margin_setups(symbol)).get(symbol)
        if found is None:
            raise ExchangeUnavailable(f"the exchange does not say how {symbol} stands")
        self._memory.note({symbol: found}, begun, self._clock())
        return found

    # --- changes by others ---

    async def watch(self) -> None:
        """Loop: remember how all symbols stand, so that an entry finds it known. Runs on every replica."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            if not self._memory.is_to_be_read(self._clock()):
                continue
            match await attempt(self.read_all()):
                case Failed(ExchangeUnavailable() | ExchangeRefused() as error):
                    _log.warning("margins_not_read", error=str(error))
                    await asyncio.sleep(RETRY_S)
                case Failed(error):
                    raise error

    async def read_all(self) -> Mapping[str, MarginSetup]:
        """Read and remember how all symbols stand."""
        begun = self._memory.reading()
        found = await self._venue.margin_setups()
        self._memory.note_all(found, begun, self._clock())
        return found

    async def compare(self) -> None:
        """Report what stands differently from how we set it, whoever changed it and however unheard."""
        remembered = await self._store.margin_setups()
        if not remembered:
            return
        actual = await self.read_all()
        for symbol in changed_elsewhere(remembered, actual):
            await self._note_change(symbol, remembered[symbol], actual.get(symbol))

    async def on_change(self, symbol: str) -> None:
        """The stream said that a symbol stands differently: see whether we did it, and to what position."""
        ours = await self._store.margin_setup(symbol)
        opened = [each for each in await self._store.unfinished_on(symbol) if each.state in HAS_POSITION]
        if ours is not None:
            found = await self._read(symbol)
            if found != ours:
                await self._note_change(symbol, ours, found)
        for entry in opened:
            await self.check_held(entry)

    async def _note_change(self, symbol: str, ours: MarginSetup, found: MarginSetup | None) -> None:
        _log.warning("margin_setup_changed_elsewhere", symbol=symbol, ours=str(ours), found=str(found))
        self._memory.forget([symbol])
        await self._store.forget_margin_setup(symbol)
        opened = [each for each in await self._store.unfinished_on(symbol) if each.state in HAS_POSITION]
        rest = (
            "Its open position is compared with its stop now."
            if opened
            else "The next entry sets it again; nothing is open."
        )
        await self._report(
            "margin_changed",
            f"{symbol} stands at {found or 'nothing known'} on the exchange, Phoenix had set {ours}: "
            f"somebody else changed it. {rest}",
            Severity.WARNING,
            symbol,
        )

    # --- positions ---

    async def check_held(self, entry: Entry) -> None:
        """Compare an open position with its stop by what the exchange says, and act on it.

        Raises:
            DependencyDown: the exchange or the database is away; reconciliation comes back.
        """
        held = await self._exchange.positions(entry.symbol)
        for position in held:
            if position.side is entry.side:
                await self.compare_held(entry, position)

    async def compare_held(self, entry: Entry, held: VenuePosition) -> None:
        """The same with the position at hand."""
        if entry.state not in (EntryState.FILLED, EntryState.PROTECTED):
            return
        await self._report_other_setup(entry, held)
        why = why_stop_is_useless(entry, held)
        if why is None:
            return
        _log.error("stop_beyond_liquidation", correlation_id=entry.signal_id, why=why)
        await self._report(
            "stop_beyond_liquidation",
            f"{why}. The position is closed at the market.",
            Severity.CRITICAL,
            entry.symbol,
            entry.signal_id,
        )
        await self._exits.close(entry, CloseReason.UNPROTECTED, None)

    async def _report_other_setup(self, entry: Entry, held: VenuePosition) -> None:
        wanted = _wanted(entry)
        if held.setup is None:
            return
        if held.setup == wanted:
            self._reported.pop(entry.symbol, None)
            return
        self._memory.forget([entry.symbol])
        if self._reported.get(entry.symbol) == held.setup:
            return
        self._reported[entry.symbol] = held.setup
        await self._report(
            "position_margin_differs",
            f"The open position in {entry.symbol} stands at {held.setup} on the exchange; approved were "
            f"{wanted}. Somebody else changed it. Liquidation at {held.liquidation_price.normalize():f}.",
            Severity.WARNING,
            entry.symbol,
            entry.signal_id,
        )

    async def _report(
        self, kind: str, text: str, severity: Severity, symbol: str, story: str | None = None
    ) -> None:
        reported = facts.alert(kind, text, severity, story or symbol, self._clock(), symbol)
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, [reported])
        await attempt(within(PUBLISH_S, self._outbox.publish([reported])))  # a close may wait behind it


def _wanted(entry: Entry) -> MarginSetup:
    return MarginSetup(is_isolated=True, leverage=entry.approval.sizing.leverage)
