"""What an entry needs before it is claimed: a price, its margin set-up, the opposite position out of the way.

It must never claim and never send: all of it may be done twice, by any replica.
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import msgspec

from services.execute import execution_rules
from services.execute.exit_flow import ExitFlow
from services.execute.order_state import HAS_POSITION, MAY_HAVE_POSITION, Entry, EntryState, why_void
from services.execute.ports import Exchange, KeepsEntries, KnowsMarket, Sleep
from shared.clock import Clock
from shared.market import Instrument
from shared.values import CloseReason

OTHERS_CLOSE_TIMEOUT_S = 10.0
OTHERS_CLOSE_POLL_S = 0.1
SYMBOL_BUSY = "symbol_busy"


@dataclass(frozen=True, kw_only=True)
class EntryRules:
    """The settings an entry is made under; see `config.ExecuteSettings` for units."""

    installation: str
    market_order: bool
    slippage_tolerance: Decimal
    price_drift_max: Decimal
    protection_timeout_s: Decimal
    lookup_window: timedelta


class EntryPreparation:
    """Gets an entry ready to be claimed, and says why one cannot be."""

    def __init__(
        self,
        store: KeepsEntries,
        exchange: Exchange,
        market: KnowsMarket,
        exits: ExitFlow,
        rules: EntryRules,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._market = market
        self._exits = exits
        self._rules = rules
        self._clock = clock
        self._sleep = sleep

    async def best_price(self, entry: Entry) -> Decimal:
        """Return the price that the entry meets first: from the ticks, or asked when they are stale."""
        prices = self._market.fresh_prices(entry.symbol, self._clock())
        if prices is None:
            prices = await self._exchange.best_prices(entry.symbol)
        return prices.to_open(entry.side)

    def limit_price(self, entry: Entry, instrument: Instrument, best: Decimal) -> Decimal | None:
        """Return the limit of the entry order, None for one at market."""
        if self._rules.market_order:
            return None
        return execution_rules.limit_price(
            best, entry.side, self._rules.slippage_tolerance, instrument.tick_size
        )

    async def refitted(self, entry: Entry, instrument: Instrument | None) -> Entry | None:
        """Return a refused entry in the form that the symbol's rules, read again, demand; never a larger one.

        None when there is none: it would be too small, the price has moved, the symbol is listed no more.
        """
        if instrument is None:
            return None
        best = await self.best_price(entry)
        if execution_rules.has_drifted(
            entry.approval.sizing.reference_price, best, self._rules.price_drift_max
        ):
            return None
        quantity = execution_rules.fitted_quantity(entry.quantity, best, instrument)
        if quantity is None:
            return None
        limit = self.limit_price(entry, instrument, best)
        return msgspec.structs.replace(entry, quantity=quantity, limit_price=limit)

    async def is_flat_after_closing_others(self, entry: Entry) -> bool:
        """Flatten what the approval says goes first, and wait until it is gone.

        It stands the other way (on_opposite = reverse), or an exit between its signal and ours closes it.
        """
        deadline = self._clock() + timedelta(seconds=OTHERS_CLOSE_TIMEOUT_S)
        while True:
            others = [each for each in await self._others(entry) if _gives_way(each, entry)]
            for other in others:
                if other.state in HAS_POSITION:
                    await self._exits.close(other, CloseReason.OPPOSITE_SIGNAL, entry.signal_id)
            if not others:
                return True
            if self._clock() >= deadline:
                return False
            await self._sleep(OTHERS_CLOSE_POLL_S)

    async def is_free_after_waiting(self, entry: Entry) -> bool:
        """Wait for the symbol while all that takes it is being closed already; False: it stays taken."""
        deadline = self._clock() + timedelta(seconds=OTHERS_CLOSE_TIMEOUT_S)
        while others := await self._others(entry):
            is_leaving = all(each.state is EntryState.CLOSING for each in others)
            if not is_leaving or self._clock() >= deadline:
                return False
            await self._sleep(OTHERS_CLOSE_POLL_S)
        return True

    async def _others(self, entry: Entry) -> list[Entry]:
        found = await self._store.unfinished_on(entry.symbol)
        return [
            each for each in found if each.state in MAY_HAVE_POSITION and each.signal_id != entry.signal_id
        ]

    async def why_unclaimed(self, entry: Entry) -> str | None:
        """Return why the entry may not be claimed, None when another process took it up."""
        now_stands = await self._store.entry(entry.signal_id)
        if now_stands is None or now_stands.state is not EntryState.INTENT:
            return None
        reason = why_void(entry.approval, await self._store.control(), self._clock())
        if reason is None and await self._store.is_superseded(entry.signal_id):
            reason = "superseded"
        if reason is None:
            others = await self._store.unfinished_on(entry.symbol)
            is_taken = any(each.state in MAY_HAVE_POSITION for each in others)
            reason = SYMBOL_BUSY if is_taken else "approval_expired"  # by the database's clock
        return reason


def _gives_way(other: Entry, entry: Entry) -> bool:
    """The same way round only what came before: what came since is a position of its own."""
    came_before = other.approval.signal_received_at < entry.approval.signal_received_at
    return other.side is not entry.side or came_before
