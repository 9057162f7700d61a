"""The market as EXECUTE's flows need it: rules of a symbol, prices that are fresh enough.

It must never answer with stale prices: who gets None asks the exchange itself. It must never leave a position
unprotected because Redis is away: the rules of a symbol then come from the exchange, or from memory.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from services.execute.ports import ListsInstruments
from services.execute.venue import BestPrices
from shared.clock import Clock
from shared.errors import RedisUnavailable
from shared.market import Instrument
from shared.market_data import MarketReader
from shared.stream_processor import LatestTicks

INSTRUMENT_CACHE_S = 60


class MarketView:
    """Newest ticks in memory, instruments from Redis with a short cache."""

    def __init__(
        self,
        reader: MarketReader,
        ticks: LatestTicks,
        exchange: ListsInstruments,
        age_s_max: Decimal,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._ticks = ticks
        self._exchange = exchange
        self._age_s_max = age_s_max
        self._clock = clock
        self._instruments: dict[str, tuple[datetime, Instrument]] = {}  # bounded by the number of symbols

    async def instrument(self, symbol: str) -> Instrument | None:
        """Return the rules of a symbol, None when the exchange does not list it."""
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
        if found is not None:
            self._instruments[symbol] = (now, found)
        return found

    def fresh_prices(self, symbol: str, now: datetime) -> BestPrices | None:
        """Return the best prices if they are young enough to trade on."""
        tick = self._ticks.get(symbol)
        if tick is None or tick.age_s(now) > self._age_s_max:
            return None
        return BestPrices(bid=tick.bid, ask=tick.ask)
