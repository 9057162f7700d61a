"""The market as EXECUTE's flows need it: rules of a symbol, prices that are fresh enough.

It must never answer with stale prices: who gets None asks the exchange itself. It must never leave a position
unprotected because Redis is away: the rules of a symbol then come from the exchange, or from memory. Rules
that the exchange contradicts are read again, but never at the pace of its refusals.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from services.execute.ports import ListsInstruments
from services.execute.venue import BestPrices
from shared import logs, metrics
from shared.clock import Clock
from shared.errors import ExchangeRefused, ExchangeUnavailable, RedisUnavailable
from shared.market import Instrument
from shared.market_data import MarketReader, MarketWriter
from shared.stream_processor import LatestTicks

INSTRUMENT_CACHE_S = 5
RENEW_PAUSE_S = 5
RENEW_PAUSE_S_MAX = 320
"""How long after rules were read again they count as new; twice as long each time they had not changed."""

_log = logs.get(__name__)


@dataclass(frozen=True, kw_only=True)
class _Renewal:
    read_at: datetime
    found: Instrument | None
    pause_s: int


class MarketView:
    """Newest ticks in memory, instruments from Redis with a short cache."""

    def __init__(
        self,
        reader: MarketReader,
        ticks: LatestTicks,
        exchange: ListsInstruments,
        age_s_max: Decimal,
        clock: Clock,
        writer: MarketWriter | None = None,
    ) -> None:
        self._reader = reader
        self._ticks = ticks
        self._exchange = exchange
        self._age_s_max = age_s_max
        self._clock = clock
        self._writer = writer
        self._instruments: dict[str, tuple[datetime, Instrument]] = {}  # bounded by the number of symbols
        self._renewing = asyncio.Lock()
        self._renewed: dict[str, _Renewal] = {}  # bounded by the number of symbols

    async def instrument(self, symbol: str) -> Instrument | None:
        """Return the rules of a symbol, None when the exchange never listed it."""
        now = self._clock()
        cached = self._instruments.get(symbol)
        if cached is not None and now - cached[0] < timedelta(seconds=INSTRUMENT_CACHE_S):
            return cached[1]
        try:
            found = await self._reader.instrument(symbol)
        except RedisUnavailable:
            if cached is not None:
                return cached[1]  # the exchange changes its rules rarely, and refuses what breaks them
            listed = {each.symbol: each for each in await self._exchange.instruments()}
            self._instruments |= {name: (now, each) for name, each in listed.items()}
            return listed.get(symbol)
        if found is None:  # left out by the feed: what we hold in it is protected by the rules it had
            return None if cached is None else cached[1]
        self._instruments[symbol] = (now, found)
        return found

    async def renewed(self, symbol: str) -> Instrument | None:
        """Return the rules of a symbol whose remembered ones were refused; None when it is listed no more.

        They are read from the exchange itself, for everybody, unless that was done a moment ago. While it
        does not answer they are what they were: whoever asked compares.
        """
        async with self._renewing:
            now = self._clock()
            known = await self.instrument(symbol)
            last = self._renewed.get(symbol)
            if last is not None and now - last.read_at < timedelta(seconds=last.pause_s):
                return known
            try:
                listed = {each.symbol: each for each in await self._exchange.instruments()}
            except (ExchangeUnavailable, ExchangeRefused) as failed:
                _log.warning("rules_not_renewed", symbol=symbol, error=str(failed))
                return known
            found, before = listed.get(symbol), known if last is None else last.found
            has_changed = found != before
            pause_s = (
                RENEW_PAUSE_S if last is None or has_changed else min(2 * last.pause_s, RENEW_PAUSE_S_MAX)
            )
            self._renewed[symbol] = _Renewal(read_at=now, found=found, pause_s=pause_s)
            metrics.RULES_RENEWED.labels(changed=str(has_changed).lower()).inc()
            _log.warning("rules_renewed", symbol=symbol, changed=has_changed)
            await self._remember(symbol, found, now)
            return found

    async def _remember(self, symbol: str, found: Instrument | None, now: datetime) -> None:
        if found is None:
            self._instruments.pop(symbol, None)
            return
        self._instruments[symbol] = (now, found)
        if self._writer is None:
            return
        try:
            await self._writer.renew(found)
        except RedisUnavailable:
            return  # the feed writes all of them anew within the hour

    def fresh_prices(self, symbol: str, now: datetime) -> BestPrices | None:
        """Return the best prices if they are young enough to trade on."""
        tick = self._ticks.get(symbol)
        if tick is None or not tick.is_fresh(now, self._age_s_max):
            return None
        return BestPrices(bid=tick.bid, ask=tick.ask)
