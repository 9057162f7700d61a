"""The user-data stream: a hint that a symbol is worth a look, and after every gap a hint to look at all.

What happened is read by REST (decision 4), so that a lost, repeated or reordered event changes nothing. ccxt
goes on with a listen key that nobody honours any more: each connection here gets a fresh one, and keeps it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from services.execute import venue_parse
from services.execute.binance_client import BinanceClient
from services.execute.ccxt_venue import ListenKeyExpired
from services.execute.error_classes import VenueRefused
from services.execute.leverage_manager import MarginMemory
from services.execute.ports import KeepsEntries
from services.execute.stream_session import close_streams, stay
from services.execute.stream_watch import StreamWatch, Why
from services.execute.venue import OrderEvent, SetupEvent
from shared import logs, metrics
from shared.clock import Clock
from shared.supervision import Done, Failed, attempt

LOOK_INTERVAL_S = 0.5
EVIDENCE_INTERVAL_S = 5.0
KEY_INTERVAL_S = 15 * 60.0
"""A listen key lives for an hour: it may fail to be extended three times."""
EVENTS_WAITING_MAX = 1_000
REOPEN_DELAY_S_MIN = 0.25
REOPEN_DELAY_S_MAX = 5.0

_log = logs.get(__name__)


class Gap:
    """Something may have been told that nobody heard."""


Event = OrderEvent | SetupEvent | Gap


class UserStream:
    """One replica's private stream, kept open; `events` gives what it says."""

    def __init__(
        self, exchange: BinanceClient, books: KeepsEntries, margins: MarginMemory, clock: Clock
    ) -> None:
        self._exchange = exchange
        self._margins = margins
        self._books = books
        self._clock = clock
        self._watch = StreamWatch()
        self._events: asyncio.Queue[Event] = asyncio.Queue(EVENTS_WAITING_MAX)
        self._is_connected = False
        self._is_key_gone = False
        exchange.venue.take_order = self._take

    async def events(self) -> AsyncIterator[Event]:
        """Yield every order event and change of a symbol's margin, and a `Gap` after every (re)connection."""
        while True:
            yield await self._events.get()

    async def keep_open(self) -> None:
        """Loop: stay connected; open anew when the connection ends, its key expires, or it has gone deaf."""
        why, delay_s = Why.START, REOPEN_DELAY_S_MIN
        while True:
            metrics.USER_STREAM_OPENED.labels(why=why.value).inc()
            why = await self._one_connection()
            _log.info("user_stream_left", why=why.value)
            delay_s = REOPEN_DELAY_S_MIN if self._is_connected else min(delay_s * 2, REOPEN_DELAY_S_MAX)
            await asyncio.sleep(delay_s)

    async def keep_key(self) -> None:
        """Loop: extend the listen key; one that the exchange does not know goes with its connection."""
        while True:
            await asyncio.sleep(KEY_INTERVAL_S)
            match await attempt(self._exchange.extend_listen_key()):
                case Failed(VenueRefused()):
                    self._is_key_gone = True
                case Failed(error):
                    _log.warning("listen_key_not_extended", error=repr(error))

    async def gather_evidence(self) -> None:
        """Loop: note what our books say that the exchange must have told."""
        while True:
            for entry in await self._books.unfinished():
                if entry.protected_at is not None:
                    self._watch.changed(entry.protected_at)
            metrics.USER_STREAM_QUIET_SECONDS.set(self._watch.quiet_for(self._clock()).total_seconds())
            await asyncio.sleep(EVIDENCE_INTERVAL_S)

    def found_by_rest(self) -> None:
        """Note that REST found an order of ours done, of which the stream should have told."""
        self._watch.changed(self._clock())

    async def _one_connection(self) -> Why:
        self._is_connected = self._is_key_gone = False
        await close_streams(self._exchange.venue)
        self._watch.opened(self._clock())
        stayed = await attempt(self._stay())
        self._margins.deaf()
        match stayed:
            case Done(why):
                return why or Why.CLOSED
            case Failed(ListenKeyExpired()):
                return Why.EXPIRED
            case Failed(error):
                _log.warning("user_stream_broken", error=repr(error))
                return Why.CLOSED

    async def _stay(self) -> Why | None:
        await self._exchange.renew_listen_key()
        return await stay(self._exchange.venue.watch_orders(), LOOK_INTERVAL_S, self._why_leave)

    def _why_leave(self) -> Why | None:
        if not self._is_connected and self._exchange.is_streaming():
            self._is_connected = True
            self._margins.listening()
            self._put(Gap())
        return Why.EXPIRED if self._is_key_gone else self._watch.why_renew(self._clock())

    def _take(self, raw: dict[str, Any]) -> None:
        if raw.get("e") != "ACCOUNT_UPDATE":  # of orders: what the stream is judged by
            self._watch.heard(self._clock())
        for change in venue_parse.setup_events(raw):
            self._margins.heard(change)  # at once: an entry may be about to use what it knew
            self._put(change)
        event = venue_parse.order_event(raw)
        if event is not None:
            self._put(event)

    def _put(self, event: Event) -> None:
        if self._events.full():  # they are hints: one to look at everything stands for all of them
            while not self._events.empty():
                self._events.get_nowait()
            event = Gap()
        self._events.put_nowait(event)
