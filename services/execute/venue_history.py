"""What the exchange remembers of our account: fills and charges, read to their end, at a pace of their own.

What is read here only completes the books. It must never stand between an exit and its order, so it spends a
bounded share of the request weight and yields to every other call.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from services.execute import venue_parse
from services.execute.call_gate import LIMITS, REPORT_SHARE, Budget, Pace
from services.execute.error_classes import VenueRefused
from services.execute.venue import VenueCharges, VenueTrade
from services.execute.venue_calls import Endpoint, VenueCalls, readable
from services.execute.venue_rows import UNREADABLE
from shared import logs, metrics
from shared.errors import ExchangeUnavailable
from shared.money import ONE

ROWS_PER_READ_MAX = 1_000
READS_MAX = 200
"""Of one history: 100 000 rows on one symbol are no trade of ours."""
AHEAD = timedelta(minutes=1)
"""How far past our reckoning of the exchange's clock a history that has no end is read."""
TRADES_WEIGHT, INCOME_WEIGHT, PRICE_WEIGHT = 5, 30, 2

Read = Callable[[int, int], Awaitable[Sequence[Any]]]

_log = logs.get(__name__)


class VenueHistory:
    """Reads one account's past."""

    def __init__(self, venue: Any, calls: VenueCalls) -> None:
        self._venue = venue
        self._calls = calls
        self._one_at_a_time = asyncio.Lock()
        self.pace = Pace(LIMITS[Budget.WEIGHT_1M] * REPORT_SHARE)

    async def trades(self, symbol: str, since: datetime, until: datetime | None) -> tuple[VenueTrade, ...]:
        """Return our fills of a symbol in that time, oldest first. A row that cannot be read is left out:
        the quantities of the others say that it is missing.
        """

        async def read(start_ms: int, end_ms: int) -> Sequence[Any]:
            params = {
                "symbol": symbol,
                "startTime": start_ms,
                "endTime": end_ms,
                "limit": ROWS_PER_READ_MAX,
            }
            return await self._paced("trades", self._venue.fapiPrivateGetUserTrades, params, TRADES_WEIGHT)

        rows = await self._whole(read, since, until, _trade_key)
        prices = {asset: await self._price_of(asset) for asset in _fee_assets(rows)}
        parsed = [_trade_or_none(row, prices) for row in rows]
        return tuple(sorted((each for each in parsed if each is not None), key=lambda each: each.filled_at))

    async def order_trades(self, symbol: str, order_id: str) -> tuple[VenueTrade, ...]:
        """Return the fills of one order; nothing about their fees' value is asked."""
        params = {"symbol": symbol, "orderId": order_id, "limit": ROWS_PER_READ_MAX}
        rows = await self._calls.call(
            "entry_fills", self._venue.fapiPrivateGetUserTrades, params, is_read=True
        )
        return readable(lambda found: tuple(venue_parse.trade(row, None) for row in found), rows)

    async def charges(self, symbol: str, since: datetime, until: datetime) -> VenueCharges:
        """Return what the exchange booked on a symbol in that time besides its trades."""

        async def read(start_ms: int, end_ms: int) -> Sequence[Any]:
            params = {
                "symbol": symbol,
                "startTime": start_ms,
                "endTime": end_ms,
                "limit": ROWS_PER_READ_MAX,
            }
            return await self._paced("charges", self._venue.fapiPrivateGetIncome, params, INCOME_WEIGHT)

        return readable(venue_parse.charges, await self._whole(read, since, until, _income_key))

    async def _whole(
        self, read: Read, since: datetime, until: datetime | None, key: Callable[[Any], Hashable]
    ) -> list[Any]:
        """Read all rows of that time: a window whose answer is full is read again in two halves, so that it
        does not matter which end of a full window the exchange gives.
        """
        now = venue_parse.from_ms(self._venue.milliseconds())
        windows = venue_parse.weeks(since, until or now + AHEAD, now)[::-1]
        rows: dict[Hashable, Any] = {}
        for _ in range(READS_MAX):
            start_ms, end_ms = windows.pop()
            page = await read(start_ms, end_ms)
            rows |= {key(row): row for row in page}
            if len(page) >= ROWS_PER_READ_MAX and end_ms > start_ms:
                middle_ms = (start_ms + end_ms) // 2
                windows += [(middle_ms + 1, end_ms), (start_ms, middle_ms)]
            if not windows:
                return list(rows.values())
        raise ExchangeUnavailable(f"a history of more than {READS_MAX} answers")

    async def _paced(
        self, operation: str, endpoint: Endpoint, params: dict[str, Any], weight: int
    ) -> Sequence[Any]:
        rows = await self._call(operation, endpoint, params, weight)
        if not isinstance(rows, list):
            raise ExchangeUnavailable(f"{operation}: the answer is no list")
        return rows

    async def _call(self, operation: str, endpoint: Endpoint, params: dict[str, Any], weight: int) -> Any:
        loop = asyncio.get_running_loop()
        async with self._one_at_a_time:
            await asyncio.sleep(self.pace.wait_s(weight, loop.time()))
            self.pace.spend(weight, loop.time())
        metrics.EXCHANGE_REPORT_WEIGHT.labels(operation=operation).inc(weight)
        return await self._calls.call(operation, endpoint, params, is_read=True)

    async def _price_of(self, asset: str) -> Decimal | None:
        """The value of a fee asset now, USDT; the exchange does not say that of the fill's time. None: it has
        no market here, or none that answers.
        """
        endpoint, params = self._venue.fapiPublicGetTickerBookTicker, {"symbol": f"{asset}USDT"}
        try:
            raw = await self._call("fee_price", endpoint, params, PRICE_WEIGHT)
            price = readable(venue_parse.best_prices, raw).bid
        except (VenueRefused, ExchangeUnavailable) as failed:
            _log.warning("fee_asset_not_valued", asset=asset, error=str(failed))
            return None
        return price if price > 0 else None


def _trade_or_none(row: Any, prices: dict[str, Decimal | None]) -> VenueTrade | None:
    try:
        return venue_parse.trade(row, prices.get(row["commissionAsset"], ONE))
    except UNREADABLE as error:
        _log.warning("fill_not_readable", error=repr(error))
        return None


def _fee_assets(rows: Sequence[Any]) -> frozenset[str]:
    return venue_parse.fee_assets(row for row in rows if isinstance(row, dict) and "commissionAsset" in row)


def _trade_key(row: Any) -> Hashable:
    return str(row.get("id")) if isinstance(row, dict) else repr(row)


def _income_key(row: Any) -> Hashable:
    if not isinstance(row, dict):
        return repr(row)
    return tuple(str(row.get(name)) for name in ("tranId", "incomeType", "tradeId", "time", "income"))
