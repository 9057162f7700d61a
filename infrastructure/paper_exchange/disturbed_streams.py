"""The streams as faults leave them: silent, dropped, with events lost, doubled or late.

Knows what a listener gets to see in each case. Must never decide which event is struck (see `faults`). An
event that nobody listens to strikes no fault, so a counted strike was one that mattered.
"""

import asyncio
from collections.abc import Iterable

import structlog

from infrastructure.paper_exchange.fault_kinds import FaultKind
from infrastructure.paper_exchange.faults import Fault, FaultState, Seen, Switchboard
from infrastructure.paper_exchange.streams import StreamHub, category_of
from infrastructure.paper_exchange.values import Payload

HELD_EVENTS_MAX = 1_000
_LOG = structlog.get_logger()
_LOSING = frozenset({FaultKind.STREAM_SILENT, FaultKind.STREAM_GAP})
_MARKET = frozenset({FaultKind.MARKET_SILENT})
_EVENT = frozenset({FaultKind.STREAM_DUPLICATE, FaultKind.STREAM_LATE})
_PRIVATE = "private"


class DisturbedHub(StreamHub):
    """The hub of one exchange, heard past the switchboard."""

    def __init__(self, faults: Switchboard) -> None:
        super().__init__(faults.exchange_ms)
        self._faults = faults
        self._held = 0

    def publish(self, stream: str, event: Payload | list[Payload]) -> None:
        """Send an event, unless market streams are to be silent."""
        if self._faults.armed and category_of(stream) != _PRIVATE:
            symbol = stream.partition("@")[0].upper()
            if stream in self._subscribers and self._faults.strike(_MARKET, Seen(symbol=symbol)):
                return
        super().publish(stream, event)

    def publish_user(self, events: Iterable[Payload]) -> None:
        """Send user data events as far as the faults let them through."""
        if not self._faults.armed:
            super().publish_user(events)
        elif self.is_user_heard:
            for event in events:
                self._disturb(event)

    def enact(self, fault: Fault) -> None:
        """Do at once what a fault does when it is armed, and plan what it does at its end."""
        match fault.kind:
            case FaultKind.STREAM_DROP:
                self._act(fault, bool(self.close_listeners()))
            case FaultKind.LISTEN_KEY_EXPIRED:
                self._act(fault, self.end_listen_key())
            case FaultKind.STREAM_GAP:
                seconds = (fault.order.for_ms or 0) / 1000
                asyncio.get_running_loop().call_later(seconds, self._end_gap, fault)
            case _:
                pass

    def _act(self, fault: Fault, happened: bool) -> None:
        if happened:
            self._faults.fire(fault)
        self._faults.end(fault)

    def _end_gap(self, fault: Fault) -> None:
        if fault.state is not FaultState.HEALED:
            self.close_listeners()

    def _disturb(self, event: Payload) -> None:
        seen = _seen_event(event)
        lost = self._faults.strike(_LOSING, seen)
        if lost is not None:
            _LOG.warning("fault_fired", fault=lost.number, kind=lost.kind, event_type=event["e"])
            return
        fault = self._faults.strike(_EVENT, seen)
        if fault is not None:
            _LOG.warning("fault_fired", fault=fault.number, kind=fault.kind, event_type=event["e"])
        if fault is not None and fault.kind is FaultKind.STREAM_LATE and self._held < HELD_EVENTS_MAX:
            self._held += 1
            asyncio.get_running_loop().call_later((fault.order.delay_ms or 0) / 1000, self._release, event)
            return
        super().publish_user([event])
        if fault is not None and fault.kind is FaultKind.STREAM_DUPLICATE:
            super().publish_user([event])

    def _release(self, event: Payload) -> None:
        self._held -= 1
        super().publish_user([event])


def _seen_event(event: Payload) -> Seen:
    body = event.get("o", {})
    changed = event.get("a", {}).get("P", [])
    symbol = body.get("s") or event.get("ac", {}).get("s") or (changed[0]["s"] if changed else "")
    return Seen(operation=event["e"], symbol=symbol, client_id=body.get("c") or body.get("caid") or "")
