"""Opening: intent → margin set-up → claim → send → fill recorded → stop and target on the exchange → told.

`advance` takes up an entry wherever it stands; killed between any two lines, it continues from the stored
state. The exchange sees at most one entry per signal: only the claim permits sending, and it happens once
(P3, P6).
"""

import asyncio
from collections import Counter
from datetime import datetime
from decimal import Decimal

import msgspec

from services.execute import execution_rules, facts
from services.execute.entry_preparation import SYMBOL_BUSY, EntryPreparation, EntryRules
from services.execute.error_classes import ClockSkewed, ErrorKind, VenueRefused
from services.execute.exit_flow import ExitFlow
from services.execute.margin_flow import MarginFlow
from services.execute.order_state import (
    LOST_REASON,
    Entry,
    EntryState,
    Step,
    next_step,
    why_void,
)
from services.execute.ports import Exchange, KeepsEntries, KnowsMarket, OwesMessages, Sleep
from services.execute.protection_flow import Placing, ProtectionFlow
from services.execute.venue import EntryOrder, OrderReport, OrderRow, OrderSide, total_quantity
from shared import crash_points, logs, metrics
from shared.clock import Clock
from shared.errors import ExchangeUnavailable, ExecutionUnknown
from shared.ids import OrderRole
from shared.models import Envelope
from shared.money import ZERO, stored
from shared.supervision import Done, Failed, attempt

LOOKUP_INTERVAL_S = 0.5
LOOKS_MIN = 5  # after a restart the time may be up already; a fresh order can be invisible for a moment
STEPS_MAX = 300  # five, and a retry of the protection every 0.25 s of its budget; more is a loop in the table

_log = logs.get(__name__)


class EntryFlow:
    """Takes approved entries to protected positions."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        market: KnowsMarket,
        outbox: OwesMessages,
        exits: ExitFlow,
        protection: ProtectionFlow,
        margins: MarginFlow,
        rules: EntryRules,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._market = market
        self._outbox = outbox
        self._exits = exits
        self._prepare = EntryPreparation(store, exchange, market, exits, rules, clock, sleep)
        self._protection = protection
        self._margins = margins
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._in_hand: Counter[str] = Counter()  # bounded by the messages in hand

    async def advance(self, signal_id: str) -> None:
        """Do whatever this entry needs next, until it rests.

        Raises:
            DependencyDown: the database or the exchange is away; call again, the entry stands where it stood.
        """
        self._in_hand[signal_id] += 1
        try:
            await self._advance_to_rest(signal_id)
        finally:
            self._in_hand[signal_id] -= 1
            if not self._in_hand[signal_id]:
                del self._in_hand[signal_id]

    def has_in_hand(self, signal_id: str) -> bool:
        """Tell whether this process is taking the entry further right now."""
        return signal_id in self._in_hand

    async def _advance_to_rest(self, signal_id: str) -> None:
        has_entered = False
        for _ in range(STEPS_MAX):
            standing = await self._store.standing(signal_id)
            if standing is None:
                return
            entry, control = standing
            now, ahead = self._clock(), self._exchange.clock_ahead()
            match next_step(entry, control, now, self._rules.protection_timeout_s, ahead):
                case Step.EXPIRE:
                    await self._end(entry, why_void(entry.approval, control, now) or "void")
                case Step.ENTER:
                    await self._enter(entry)
                case Step.LOOK_UP:
                    await self._look_up(entry)
                case Step.PROTECT:
                    await self._protection.protect(entry)
                case Step.FLATTEN:
                    await self._protection.flatten(entry)
                case Step.CLOSE:
                    await self._exits.finish(entry)
                    return
                case Step.REST:
                    if has_entered and entry.state is EntryState.PROTECTED:
                        await self._compare_with_stop(entry)
                    return
            has_entered = True
        raise AssertionError(f"entry {signal_id} does not come to rest")

    async def _compare_with_stop(self, entry: Entry) -> None:
        match await attempt(self._margins.check_held(entry)):
            case Failed(error):  # reconciliation looks at every position
                _log.warning("stop_not_compared", correlation_id=entry.signal_id, error=repr(error))

    async def expire(self, entry: Entry, reason: str) -> None:
        """End an entry that was never sent; nothing happens when it has been claimed meanwhile."""
        await self._end(entry, reason)

    async def adopt(self, signal_id: str) -> bool:
        """Take back an entry that was given up as unknown, if its order filled after all (P6)."""
        entry = await self._store.entry(signal_id)
        if entry is None or entry.state is not EntryState.FAILED:
            return False
        report = await self._exchange.find_order(entry.symbol, entry.client_id)
        if report is None or not report.is_final or report.filled_quantity == ZERO:
            return False
        _log.error("lost_entry_adopted", correlation_id=signal_id, symbol=entry.symbol)
        await self._record_report(entry, report)
        await self.advance(signal_id)
        return True

    # --- intent → sending → filled | expired | failed ---

    async def _enter(self, entry: Entry) -> None:
        instrument = await self._market.instrument(entry.symbol)
        if instrument is None:
            await self._end(entry, "symbol_unknown")
            return
        if entry.approval.closes_opposite and not await self._prepare.is_flat_after_closing_others(entry):
            await self._end(entry, "opposite_not_closed")
            return
        best = await self._prepare.best_price(entry)
        if execution_rules.has_drifted(
            entry.approval.sizing.reference_price, best, self._rules.price_drift_max
        ):
            await self._end(
                entry, "price_moved", f"reference {entry.approval.sizing.reference_price}, now {best}"
            )
            return
        self._exchange.demand_open_for_entries()
        try:
            await self._margins.set_up(entry)
        except (VenueRefused, ExecutionUnknown) as refused:
            if isinstance(refused, VenueRefused) and refused.kind is ErrorKind.STALE_RULES:
                await self._market.renewed(entry.symbol)  # so that RISK sizes the next one by what holds now
            await self._end(entry, "margin_setup_refused", str(refused))
            return
        limit = self._prepare.limit_price(entry, instrument, best)
        claimed_at = await self._store.claim(entry.signal_id, limit)
        if claimed_at is None:
            why = await self._prepare.why_unclaimed(entry)
            if why == SYMBOL_BUSY and await self._prepare.is_free_after_waiting(entry):
                return  # the next step enters
            if why is not None:
                await self._end(entry, why)
            return
        await self._send(entry, limit, claimed_at)

    async def _send(self, entry: Entry, limit: Decimal | None, claimed_at: datetime) -> None:
        claimed = msgspec.structs.replace(
            entry, state=EntryState.SENDING, claimed_at=claimed_at, limit_price=limit
        )
        crash_points.reach("execute.claimed")
        if await self._is_margin_set_up(claimed):
            await self._place(claimed, claimed_at)

    async def _is_margin_set_up(self, claimed: Entry) -> bool:
        """Look once more after the claim: it may have been changed since the preparation. Nothing is sent."""
        if self._margins.is_set_up(claimed):
            return True
        try:
            await self._margins.set_up(claimed)
        except (VenueRefused, ExecutionUnknown) as refused:
            await self._end(claimed, "margin_setup_refused", str(refused), failed=True)
            return False
        except ExchangeUnavailable as down:
            await self._end(claimed, "exchange_unavailable", str(down), failed=True)
            return False
        return True

    async def _place(self, claimed: Entry, claimed_at: datetime, *, is_second: bool = False) -> None:
        order = EntryOrder(
            client_id=claimed.client_id,
            symbol=claimed.symbol,
            side=OrderSide.opening(claimed.side),
            quantity=claimed.quantity,
            limit_price=claimed.limit_price,
        )
        try:
            report = await self._exchange.place_entry(order, claimed_at)
            crash_points.reach("execute.entry_answered")
        except ExecutionUnknown as lost:
            _log.warning("entry_answer_lost", correlation_id=claimed.signal_id, error=str(lost))
            return  # it stands as `sending`: the next step looks it up
        except ClockSkewed:
            await self._end(claimed, "clock_skew", self._about_clocks(claimed_at), failed=True)
            return
        except ExchangeUnavailable as down:
            await self._end(claimed, "exchange_unavailable", str(down), failed=True)
            return
        except VenueRefused as refused:
            await self._on_refusal(claimed, claimed_at, refused, is_second=is_second)
            return
        waited_s = (self._clock() - claimed.approval.signal_received_at).total_seconds()
        metrics.ENTRY_SECONDS.observe(max(0.0, waited_s))
        if report.is_final:
            await self._record_report(claimed, report)  # else: accepted, and looked up by the next step

    async def _on_refusal(
        self, claimed: Entry, claimed_at: datetime, refused: VenueRefused, *, is_second: bool
    ) -> None:
        """End a refused entry, unless our copy of the symbol's rules is to blame: then try it once more.

        Under the same claim and client id (decision 30): the refusal is a sure no, the exchange says besides
        that it knows no such order, and the claim's time stamp still bounds when it may arrive.
        """
        if refused.kind is ErrorKind.DUPLICATE_ID:
            return  # ours is there: the next step looks it up
        if refused.kind is ErrorKind.STALE_RULES and not is_second:
            match await attempt(self._renewed(claimed)):
                case Done(Entry() as again):
                    if await self._is_margin_set_up(again):
                        await self._place(again, claimed_at, is_second=True)
                    return
                case Done(OrderReport()):
                    return  # it is there after all: the next step looks it up
                case Failed(error):
                    _log.warning("entry_not_renewed", correlation_id=claimed.signal_id, error=repr(error))
        await self._end(claimed, "exchange_refused", str(refused), failed=True)

    async def _renewed(self, claimed: Entry) -> Entry | OrderReport | None:
        self._margins.forget(claimed.symbol)
        instrument, found = await asyncio.gather(
            self._market.renewed(claimed.symbol),
            self._exchange.find_order(claimed.symbol, claimed.client_id),
        )
        return found or await self._prepare.refitted(claimed, instrument)

    def _about_clocks(self, claimed_at: datetime) -> str:
        late_s = (self._clock() - claimed_at).total_seconds()
        return (
            f"the exchange refused the order's time stamp, {late_s:.1f} s after its claim. Many seconds: "
            "this process was held up. Else a clock is wrong: see that this machine and the database's run "
            f"NTP; ours was measured {self._exchange.clock_ahead().total_seconds()} s ahead of the exchange's"
        )

    async def _look_up(self, entry: Entry) -> None:
        """Find out what became of a claimed entry; it is never sent again."""
        assert entry.claimed_at is not None
        deadline = entry.claimed_at + self._rules.lookup_window
        looks = 0
        while True:
            report = await self._exchange.find_order(entry.symbol, entry.client_id)
            looks += 1
            if report is not None and report.is_final:
                await self._record_report(entry, report)
                return
            if self._clock() >= deadline and looks >= LOOKS_MIN:
                break
            await self._sleep(LOOKUP_INTERVAL_S)
        if report is None:
            await self._end(entry, LOST_REASON, "the exchange does not know the order", failed=True)
            return
        await self._exchange.cancel_order(entry.symbol, entry.client_id)
        raise ExchangeUnavailable(f"{entry.client_id} was still {report.status}; cancelled, to be looked up")

    async def _record_report(self, entry: Entry, report: OrderReport) -> None:
        if report.filled_quantity == ZERO:
            await self._end(entry, "slippage", f"nothing filled at {entry.limit_price}")
            return
        price = report.average_price or await self._average_price(entry, report)
        # At the same time: the position must not stay naked because the database is slow or away.
        placing, filled = await asyncio.gather(
            attempt(self._protection.place(entry, price)),
            attempt(self._record_fill(entry, report, price)),
        )
        if isinstance(filled, Failed):
            raise filled.error
        if filled.value is None:
            await self._protection.withdraw_if_over(entry)
            return
        recorded, told = filled.value
        await asyncio.gather(self._conclude(recorded, placing), self._outbox.publish(told))

    async def _conclude(self, entry: Entry, placing: Done[Placing] | Failed) -> None:
        if isinstance(placing, Failed):
            raise placing.error
        await self._protection.conclude(entry, placing.value)

    async def _record_fill(
        self, entry: Entry, report: OrderReport, price: Decimal
    ) -> tuple[Entry, list[Envelope]] | None:
        told = facts.entered(entry, report, price, self._clock())
        async with self._store.transaction() as tx:
            filled = await self._store.record_fill(tx, entry, report, price)
            if filled is None:
                return None
            await self._store.record_orders(tx, entry.signal_id, [_entry_row(entry, report)])
            await self._outbox.stage(tx, told)
        crash_points.reach("execute.fill_recorded")
        slip = execution_rules.slippage(entry.approval.sizing.reference_price, price, entry.side)
        metrics.SLIPPAGE_RATIO.observe(float(slip))
        return filled, told

    async def _average_price(self, entry: Entry, report: OrderReport) -> Decimal:
        """The answer to an order may lack its average price; the order, its fills or the position have it."""
        match await attempt(self._exchange.find_order(entry.symbol, entry.client_id)):
            case Done(OrderReport(average_price=Decimal() as average)):
                return average
        match await attempt(self._exchange.order_trades(entry.symbol, report.order_id)):
            case Done(ours) if ours:
                turnover = sum((each.price * each.quantity for each in ours), ZERO)
                return stored(turnover / total_quantity(ours))
        held = await self._exchange.positions(entry.symbol)
        price = next((each.entry_price for each in held if each.side is entry.side), None)
        if price is None:
            raise ExchangeUnavailable(f"the fills of {entry.client_id} are not visible yet")
        return price

    async def _end(self, entry: Entry, reason: str, detail: str = "", *, failed: bool = False) -> None:
        now = self._clock()
        told = facts.ended(entry, failed=failed, reason=reason, detail=detail, now=now)
        async with self._store.transaction() as tx:
            if await self._store.record_end(tx, entry, failed=failed, reason=reason) is None:
                return
            await self._outbox.stage(tx, told)
        _log.info("entry_ended", correlation_id=entry.signal_id, reason=reason, detail=detail, failed=failed)
        await self._outbox.publish(told)


def _entry_row(entry: Entry, report: OrderReport) -> OrderRow:
    return OrderRow(
        client_id=entry.client_id,
        role=OrderRole.ENTRY,
        symbol=entry.symbol,
        side=OrderSide.opening(entry.side),
        order_type="MARKET" if entry.limit_price is None else "LIMIT IOC",
        quantity=entry.quantity,
        price=entry.limit_price,
        status=report.status,
        exchange_order_id=report.order_id,
    )
