"""The story of EXECUTE: an approval becomes a protected position, a close request ends it, the exchange is
the truth.

    approval ──► intent recorded ──► entered, protected, told          (entry_flow)
    close request ──► every position opened before it: closed, told    (exit_flow)
    trading state ──► recorded; approvals of an older epoch are void
    order event, timer, start ──► exchange against our books ──► corrected (reconciliation)

Entries of one symbol are taken one after the other, exits as well, and exits never wait for entries; across
replicas the database's compare-and-sets decide.
"""

import asyncio
from collections import defaultdict
from datetime import timedelta

import msgspec

from services.execute import facts
from services.execute.entry_flow import EntryFlow
from services.execute.exit_flow import ExitFlow
from services.execute.foreign import orders_of
from services.execute.margin_flow import MarginFlow
from services.execute.order_state import HAS_POSITION, Entry, EntryState, moment_of_exit
from services.execute.ports import Exchange, KeepsEntries, OwesMessages, Sleep, ViewsVenue
from services.execute.protection_flow import ProtectionFlow
from services.execute.reconciliation import (
    Correction,
    CorrectionKind,
    VenueView,
    corrections,
    missing_protection,
)
from services.execute.takeover_flow import TakeOver
from shared import crash_points, ids, logs, metrics
from shared.clock import Clock
from shared.errors import ExchangeUnavailable
from shared.models import CloseRequested, Envelope, TradeApproved, TradingStateChanged
from shared.signal_order import is_after_exit
from shared.supervision import Done, Failed, attempt
from shared.topology import TRADE_CONTROL, TRADE_EXECUTION
from shared.values import Severity

IN_FLIGHT_WAIT_S = 15.0
IN_FLIGHT_POLL_S = 0.1
SYMBOLS_AT_ONCE_MAX = 8

_log = logs.get(__name__)


class ExecutionFlow:
    """What EXECUTE does with each message and at each look at the exchange."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        venue: ViewsVenue,
        outbox: OwesMessages,
        entries: EntryFlow,
        protection: ProtectionFlow,
        exits: ExitFlow,
        margins: MarginFlow,
        installation: str,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._venue = venue
        self._outbox = outbox
        self._entries = entries
        self._protection = protection
        self._exits = exits
        self._margins = margins
        self._installation = installation
        self._clock = clock
        self._sleep = sleep
        self._symbols: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # bounded by the number of symbols
        self._takeover = TakeOver(store, exchange, outbox, installation, clock)
        self._seen: set[tuple[CorrectionKind, str]] = set()
        self._turned: set[tuple[CorrectionKind, str]] = set()
        self._reported: set[tuple[CorrectionKind, str]] = set()

    # --- messages ---

    async def on_execution(self, envelope: Envelope) -> None:
        """Handle a message of `trade_execution`: an approval to enter."""
        approval = envelope.payload
        assert isinstance(approval, TradeApproved), f"unexpected {envelope.schema}"
        client_id = ids.client_order_id(self._installation, approval.signal_id, ids.OrderRole.ENTRY)
        await self._store.record_intent(TRADE_EXECUTION.name, envelope.event_id, approval, client_id)
        crash_points.reach("execute.intent_recorded")
        async with self._symbols[approval.symbol]:
            await self._entries.advance(approval.signal_id)

    async def on_control(self, envelope: Envelope) -> None:
        """Handle a message of `trade_control`: a close request or a trading state."""
        match envelope.payload:
            case CloseRequested() as request:
                await self._on_close(envelope, request)
            case TradingStateChanged() as changed:
                async with self._store.transaction() as tx:
                    if await self._store.first_time(tx, TRADE_CONTROL.name, envelope.event_id):
                        await self._store.set_control(tx, changed)
                _log.info("trading_state_recorded", state=changed.state.value, epoch=changed.trading_epoch)
            case other:
                raise AssertionError(f"unexpected {type(other).__name__} on {TRADE_CONTROL.name}")

    async def _on_close(self, envelope: Envelope, request: CloseRequested) -> None:
        await self._store.record_exit(request)  # P8: none slips past
        found_any = await self._close_all_before(request)
        found_more, leaves_foreign = await self._look_for_unknown(request, found_any=found_any)
        if found_more:
            found_any = await self._close_all_before(request) or found_any
        told: list[Envelope] = []
        if not await self._store.ends_for(request.signal_id):  # P2: whoever asked is told how it ended
            reason = (
                "already_closing" if found_any else "foreign_position" if leaves_foreign else "no_position"
            )
            told = facts.close_ignored(request.signal_id, request.symbol, reason, self._clock())
        async with self._store.transaction() as tx:
            if not await self._store.first_time(tx, TRADE_CONTROL.name, envelope.event_id):
                return  # handled before; what it found then was told then
            await self._outbox.stage(tx, told)
        await self._outbox.publish(told)

    async def _look_for_unknown(self, request: CloseRequested, *, found_any: bool) -> tuple[bool, bool]:
        """Let our books know what else is to be closed; return whether there is, and whether some is foreign.

        After a restore the exchange may hold more of ours than they say. While it cannot be asked, what the
        books know is closed.
        """
        if request.symbol is not None and found_any:
            return False, False
        match await attempt(self._take_over_for(request)):
            case Failed(error):
                _log.warning("exchange_not_looked_at", correlation_id=request.signal_id, error=repr(error))
                return False, False
            case Done(found):
                return found

    async def _take_over_for(self, request: CloseRequested) -> tuple[bool, bool]:
        taken, foreign = await self._takeover.take_over_all(request.symbol)
        claimed = 0
        if request.symbol is not None and request.is_foreign:
            claimed = sum([await self._takeover.claim_foreign(each, request) for each in foreign])
        return taken + claimed > 0, len(foreign) > claimed

    async def _close_all_before(self, request: CloseRequested) -> bool:
        """Close what stands, at once and all together; then what was on its way in, as it arrives."""
        deadline = self._clock() + timedelta(seconds=IN_FLIGHT_WAIT_S)
        moment = moment_of_exit(request)
        closed: set[str] = set()
        while True:
            found = await self._unfinished(request.symbol)
            older = [each for each in found if not is_after_exit(each.moment, moment)]
            standing = [e for e in older if e.state in HAS_POSITION and e.signal_id not in closed]
            closed |= {each.signal_id for each in standing}
            await self._close_each(standing, request)
            for entry in older:
                if entry.state is EntryState.INTENT:  # P8: an exit supersedes the entries before it
                    await self._entries.expire(entry, "superseded")
            in_flight = [each for each in older if each.state in (EntryState.SENDING, EntryState.INTENT)]
            if not in_flight:
                return bool(closed)
            if self._clock() >= deadline:
                raise ExchangeUnavailable(
                    f"{in_flight[0].client_id} is still being entered; closing waits for it"
                )
            await self._sleep(IN_FLIGHT_POLL_S)

    async def _close_each(self, entries: list[Entry], request: CloseRequested) -> None:
        """Close them side by side: one that resists must not keep the others open."""
        results = await asyncio.gather(
            *(attempt(self._exits.close(each, request.reason, request.signal_id)) for each in entries)
        )
        for result in results:
            if isinstance(result, Failed):
                raise result.error

    async def _unfinished(self, symbol: str | None) -> list[Entry]:
        return await (self._store.unfinished() if symbol is None else self._store.unfinished_on(symbol))

    # --- the exchange as the truth ---

    async def on_order_event(self, symbol: str) -> None:
        """Look at one symbol because the exchange said that an order of it changed."""
        for entry in await self._store.unfinished_on(symbol):
            if entry.state not in HAS_POSITION or await self._exits.settle(entry):
                continue
            if entry.state is EntryState.PROTECTED and await self._protection.was_cancelled(entry):
                found = missing_protection(entry, "a stop or target was cancelled")
                await self._restore_if_still_needed(found)

    async def on_gap(self) -> None:
        """Look at every symbol of ours once: the exchange may have told something that nobody heard."""
        standing = {each.symbol for each in await self._store.unfinished() if each.state in HAS_POSITION}
        for symbol in sorted(standing):
            match await attempt(self.on_order_event(symbol)):
                case Failed(error):
                    _log.warning("look_failed", symbol=symbol, error=repr(error))

    async def reconcile(self) -> list[Correction]:
        """Compare the exchange with our books and correct what differs; return what was found."""
        view = await self._venue.view()  # the exchange first: see `reconciliation`
        entries, lost = await asyncio.gather(self._store.unfinished(), self._store.lost())
        found = corrections(view, entries, self._installation, lost)
        self._turned.clear()
        match await attempt(self._store.record_foreign_orders(orders_of(view, self._installation))):
            case Failed(error):  # what is only shown holds up nothing that is corrected
                _log.warning("foreign_orders_not_recorded", error=repr(error))
        by_symbol: dict[str, list[Correction]] = defaultdict(list)
        for correction in found:
            by_symbol[correction.symbol].append(correction)
        gate = asyncio.Semaphore(SYMBOLS_AT_ONCE_MAX)
        by_id = {entry.signal_id: entry for entry in entries}
        await asyncio.gather(*(self._correct_symbol(each, by_id, gate) for each in by_symbol.values()))
        self._seen = {(each.kind, each.subject) for each in found} | self._turned
        self._reported &= self._seen
        await self._compare_with_stops(view, entries)
        match await attempt(self._margins.compare()):
            case Failed(error):  # entries read it for themselves; a start must not end for it
                _log.warning("margins_not_compared", error=repr(error))
        return found

    async def on_margin_change(self, symbol: str) -> None:
        """Look at one symbol because the exchange said that its leverage or margin mode changed."""
        await self._margins.on_change(symbol)

    async def _compare_with_stops(self, view: VenueView, entries: list[Entry]) -> None:
        """See that every position would reach its stop before its liquidation: it may have changed since."""
        ours = {(each.symbol, each.side): each for each in entries if each.state is EntryState.PROTECTED}
        for held in view.positions:
            entry = ours.get((held.symbol, held.side))
            if entry is None:
                continue
            match await attempt(self._margins.compare_held(entry, held)):
                case Failed(error):
                    _log.error("stop_not_compared", symbol=held.symbol, error=repr(error))

    async def _correct_symbol(
        self, found: list[Correction], by_id: dict[str, Entry], gate: asyncio.Semaphore
    ) -> None:
        async with gate:
            for correction in found:
                match await attempt(self._correct(correction, by_id.get(correction.subject))):
                    case Failed(error):  # what resists must not keep the rest from being healed
                        _log.error("correction_failed", subject=correction.subject, error=repr(error))

    async def _correct(self, correction: Correction, entry: Entry | None) -> None:
        kind = correction.kind
        makes_ours = kind in (CorrectionKind.ADOPT, CorrectionKind.TAKE_OVER)
        if makes_ours and not await self._is_ours_now(correction):
            await self._correct(self._as_foreign(correction), None)
            return
        metrics.RECONCILE_DIFFERENCES.labels(kind=kind.value).inc()
        _log.info("difference_found", kind=kind.value, subject=correction.subject, detail=correction.detail)
        match kind:
            case CorrectionKind.ADVANCE:
                await self._advance(correction)
            case CorrectionKind.SETTLE if entry is not None:
                if not await self._exits.settle(entry):
                    await self._report_second_sight(correction)
            case CorrectionKind.RESTORE_PROTECTION:
                await self._restore_if_still_needed(correction)
            case CorrectionKind.ADOPT | CorrectionKind.TAKE_OVER:
                await self._report(correction)
            case CorrectionKind.CANCEL_ALGO:
                if await self._exchange.cancel_algo(correction.subject):
                    await self._report(correction)
            case CorrectionKind.CANCEL_ORDER:
                if await self._exchange.cancel_order(correction.symbol, correction.subject):
                    await self._report(correction)
            case _:
                await self._report_second_sight(correction)

    async def _advance(self, correction: Correction) -> None:
        entry = await self._store.entry(correction.subject)
        if entry is not None and entry.state is EntryState.CLOSING:
            await self._exits.finish(entry)
            return
        async with self._symbols[correction.symbol]:
            await self._entries.advance(correction.subject)

    async def _is_ours_now(self, correction: Correction) -> bool:
        async with self._symbols[correction.symbol]:
            if correction.kind is CorrectionKind.ADOPT:
                return await self._entries.adopt(correction.subject)
            return await self._takeover.take_over(correction.symbol)

    def _as_foreign(self, correction: Correction) -> Correction:
        """What could not be made ours is reported as what it is: once, not at each try."""
        foreign = msgspec.structs.replace(
            correction,
            kind=CorrectionKind.REPORT_EXTERNAL,
            subject=correction.symbol,
            detail=f"{correction.detail} is not ours: Phoenix neither protects nor closes it",
        )
        self._turned.add((foreign.kind, foreign.subject))
        return foreign

    async def _restore_if_still_needed(self, correction: Correction) -> None:
        entry = await self._store.entry(correction.subject)
        if entry is None or entry.state is not EntryState.PROTECTED or await self._exits.settle(entry):
            return
        if await self._protection.restore(entry):
            await self._report(correction)

    async def _report_second_sight(self, correction: Correction) -> None:
        """Report what is seen twice in a row: once may be a position that was just being opened or closed."""
        if (correction.kind, correction.subject) in self._seen:
            await self._report(correction)

    async def _report(self, correction: Correction) -> None:
        """Tell the operator, once for as long as the difference lasts."""
        key = (correction.kind, correction.subject)
        if key in self._reported:
            return
        told = facts.alert(
            correction.kind.value,
            f"{correction.symbol}: {correction.detail}",
            Severity.WARNING,
            correction.subject,
            self._clock(),
            correction.symbol,
        )
        async with self._store.transaction() as tx:
            await self._outbox.stage(tx, [told])
        self._reported.add(key)
        await self._outbox.publish([told])
