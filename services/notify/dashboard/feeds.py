"""What the charts draw, as JSON: equity curve, candles, our levels and fills. Its numbers are for drawing only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.notify.dashboard import replies
from services.notify.dashboard.gate import Gate
from services.notify.dashboard.sources import Sources
from services.notify.reports import ROWS_MAX, Bar, Fill
from shared.clock import Clock
from shared.http_api import Problem

SPANS: Mapping[str, timedelta] = {"1d": timedelta(days=1), "1w": timedelta(days=7), "1m": timedelta(days=30)}
EQUITY_POINTS = 400
MINUTES = (1, 5, 15)
READ_MINUTES = ROWS_MAX


class Feeds:
    """Answers the charts of whoever is logged in."""

    def __init__(self, gate: Gate, sources: Sources, clock: Clock) -> None:
        self._gate = gate
        self._sources = sources
        self._clock = clock

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.get("/dashboard/feeds/equity")(self.equity)
        router.get("/dashboard/feeds/candles")(self.candles)
        return router

    async def equity(self, request: Request, span: str = "1d") -> Response:
        """Return the equity curve as points of seconds and USDT, the oldest first."""
        if await self._gate.visitor(request) is None:
            return replies.to_login(request)
        if span not in SPANS:
            raise Problem(422, "no such span", f"Known spans: {', '.join(SPANS)}.")
        now = self._clock()
        points = await self._sources.reports.equity(now - SPANS[span], now, EQUITY_POINTS)
        return replies.document(
            _rising(
                [{"time": _second(point.taken_at), "value": float(point.equity_usdt)} for point in points]
            )
        )

    async def candles(
        self, request: Request, symbol: Annotated[str, Query(max_length=40)], minutes: int = 1
    ) -> Response:
        """Return candles of `minutes`, the levels of our position and our fills in a symbol."""
        if await self._gate.visitor(request) is None:
            return replies.to_login(request)
        if minutes not in MINUTES:
            raise Problem(422, "no such length", f"Known lengths: {', '.join(map(str, MINUTES))} minutes.")
        since = self._clock() - timedelta(minutes=READ_MINUTES)
        bars = await self._sources.reports.bars(symbol, since)
        fills = await self._sources.reports.fills(symbol, since)
        return replies.document(
            {
                "candles": candles_of(bars, minutes),
                "levels": await self._levels(symbol),
                "fills": [_marker(fill, minutes) for fill in fills],
            }
        )

    async def _levels(self, symbol: str) -> Mapping[str, float | None]:
        await self._sources.look(("positions", "marks"))
        held = next(
            (each for each in self._sources.positions.seen.value or () if each.symbol == symbol), None
        )
        if held is None:
            return {}
        mark = (self._sources.marks.seen.value or {}).get(held.signal_id)
        levels = {
            "entry": held.entry_price,
            "stop": held.stop_price,
            "target": held.take_profit_price,
            "liquidation": mark.liquidation_price if mark else None,
        }
        return {name: None if price is None else float(price) for name, price in levels.items()}


def candles_of(bars: Sequence[Bar], minutes: int) -> Sequence[Mapping[str, float | int]]:
    """Return 1 m bars, the oldest first, put together to candles of `minutes`."""
    candles: dict[int, dict[str, float | int]] = {}
    for bar in bars:
        start = _slot(bar.opened_at, minutes)
        high, low, close = float(bar.high), float(bar.low), float(bar.close)
        candle = candles.setdefault(
            start, {"time": start, "open": float(bar.open), "high": high, "low": low, "close": close}
        )
        candle.update(high=max(candle["high"], high), low=min(candle["low"], low), close=close)
    return list(candles.values())


def _marker(fill: Fill, minutes: int) -> Mapping[str, Any]:
    return {
        "time": _slot(fill.filled_at, minutes),
        "side": fill.side,
        "price": float(fill.price),
        "text": f"{fill.side} {fill.quantity.normalize():f}",
    }


def _slot(moment: datetime, minutes: int) -> int:
    length_s = minutes * 60
    return _second(moment) // length_s * length_s


def _second(moment: datetime) -> int:
    return int(moment.timestamp())


def _rising(points: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return one point for each second, as the chart demands."""
    return list({point["time"]: point for point in points}.values())
