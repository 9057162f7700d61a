"""Margin mode and leverage of a symbol: what stands, what has to be changed, whether the stop still protects.

The exchange keeps both per symbol and anybody with the account may change them. What was read is remembered
only while the user-data stream would tell of a change, and never for long: a stream may be deaf without
knowing it. Pure: times in, values out.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from services.execute.order_state import Entry
from services.execute.venue import MarginSetup, SetupEvent, VenuePosition
from shared.money import ONE, ZERO, plain

READ_EVERY = timedelta(seconds=5)
FRESH_FOR = timedelta(seconds=12)
"""How long what was read is used without reading it again: two rounds of reading may fail."""
PLAN_TOLERANCE = Decimal("0.98")
"""Liquidation as far away as this share of the plan's is as planned: fills slip, amounts are rounded."""


class SetupStep(StrEnum):
    """One change to make."""

    SET_ISOLATED = "set_isolated"
    SET_LEVERAGE = "set_leverage"


def setup_steps(known: MarginSetup, leverage: int) -> tuple[SetupStep, ...]:
    """Return what to change for an isolated position at `leverage`."""
    steps: list[SetupStep] = []
    if not known.is_isolated:
        steps.append(SetupStep.SET_ISOLATED)
    if known.leverage != leverage:
        steps.append(SetupStep.SET_LEVERAGE)
    return tuple(steps)


def changed_elsewhere(
    remembered: Mapping[str, MarginSetup], actual: Mapping[str, MarginSetup]
) -> frozenset[str]:
    """Return the symbols that do not stand on the exchange as we set them."""
    return frozenset(symbol for symbol, setup in remembered.items() if actual.get(symbol) != setup)


def why_stop_is_useless(entry: Entry, held: VenuePosition) -> str | None:
    """Return why liquidation comes before the stop protects, or None while it does.

    Liquidation must lie beyond the stop with RISK's buffer kept free. One that is as far away as RISK planned
    is right even so: RISK's own rules are the judge of its plans.
    """
    sizing = entry.approval.sizing
    if held.side is not entry.side or held.liquidation_price <= ZERO:
        return None
    way = entry.side.sign * (held.entry_price - held.liquidation_price) / held.entry_price
    planned_way = abs(sizing.reference_price - sizing.liquidation_price) / sizing.reference_price
    if sizing.liquidation_price > ZERO and way >= planned_way * PLAN_TOLERANCE:
        return None
    stop_price = entry.stop_price or held.entry_price * (ONE - entry.side.sign * sizing.stop_distance)
    stop_way = entry.side.sign * (held.entry_price - stop_price) / held.entry_price
    if stop_way <= way * (ONE - entry.approval.liquidation_buffer):
        return None
    return (
        f"{entry.symbol} stands at {held.setup or 'unknown leverage'} on the exchange and would be "
        f"liquidated at {plain(held.liquidation_price)}, before its stop at {plain(stop_price)} protects it"
    )


class _Known(NamedTuple):
    setup: MarginSetup
    read_at: datetime


class Reading(NamedTuple):
    """The state of the memory when a read began: what was heard since is newer than its answer."""

    session: int
    heard: Mapping[str, int]


class MarginMemory:
    """What one process knows of how symbols stand, from its own reads and its own stream."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}  # bounded by the number of symbols
        self._heard: dict[str, int] = {}
        self._session = 0
        self._is_listening = False
        self._all_read_at: datetime | None = None

    def is_to_be_read(self, now: datetime) -> bool:
        """Tell whether all symbols should be read now, so that entries find them known."""
        is_recent = self._all_read_at is not None and now - self._all_read_at < READ_EVERY
        return self._is_listening and not is_recent

    def listening(self) -> None:
        """Note that the stream is connected: from now on a change would be heard."""
        self._is_listening = True

    def deaf(self) -> None:
        """Note that the stream is not connected: nothing is known any more."""
        self._is_listening = False
        self._session += 1
        self._all_read_at = None
        self._known.clear()
        self._heard.clear()

    def reading(self) -> Reading:
        """Return what a read that begins now is noted with."""
        return Reading(self._session, dict(self._heard))

    def note(self, found: Mapping[str, MarginSetup], begun: Reading, now: datetime) -> None:
        """Note what a read, or a change of our own, brought, except where something newer was heard since."""
        if not self._is_listening or begun.session != self._session:
            return
        for symbol, setup in found.items():
            if self._heard.get(symbol, 0) == begun.heard.get(symbol, 0):
                self._known[symbol] = _Known(setup, now)

    def note_all(self, found: Mapping[str, MarginSetup], begun: Reading, now: datetime) -> None:
        """Note a read of all symbols."""
        self.note(found, begun, now)
        if begun.session == self._session:
            self._all_read_at = now

    def heard(self, event: SetupEvent) -> None:
        """Note a change that the stream told."""
        self._heard[event.symbol] = self._heard.get(event.symbol, 0) + 1
        known = self._known.get(event.symbol)
        if known is None:
            return
        setup = known.setup
        if event.leverage is not None:
            setup = msgspec.structs.replace(setup, leverage=event.leverage)
        if event.is_isolated is not None:
            setup = msgspec.structs.replace(setup, is_isolated=event.is_isolated)
        self._known[event.symbol] = known._replace(setup=setup)

    def forget(self, symbols: Iterable[str]) -> None:
        """Forget how symbols stand: the next entry reads it."""
        for symbol in symbols:
            self._known.pop(symbol, None)

    def fresh(self, symbol: str, now: datetime) -> MarginSetup | None:
        """Return how a symbol stands, None when that has to be read."""
        known = self._known.get(symbol)
        return None if known is None or now - known.read_at > FRESH_FOR else known.setup
