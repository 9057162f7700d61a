"""What the charts draw, as JSON: equity curve, candles, our levels, our fills; numbers for drawing only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from services.notify.dashboard import numerals, replies
from services.notify.dashboard.gate import Gate
from services.notify.dashboard.sources import Sources
from services.notify.dashboard.views import SYMBOL_CHARS_MAX, symbol_of
from services.notify.equity_curve import without_transfers
from services.notify.reports import ROWS_MAX, Bar, EquityPoint, Fill, OpenPosition
from shared.clock import Clock
from shared.http_api import Problem
from shared.values import Side

SPANS: Mapping[str, timedelta] = {"1d": timedelta(days=1), "1w": timedelta(days=7), "1m": timedelta(days=30)}
EQUITY_POINTS = 400
MINUTES = (1, 5, 15)
READ_MINUTES = ROWS_MAX
ENOUGH_POINTS = 120
"""With fewer, a young account is drawn in finer steps from its first moment on."""
OPENING = {Side.LONG.value: "buy", Side.SHORT.value: "sell"}


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
        """Return the equity curve without transfers, as points of seconds and USDT, the oldest first."""
        if await self._gate.visitor(request) is None:
            return replies.to_login(request)
        if span not in SPANS:
            raise Problem(422, "no such span", f"Known spans: {', '.join(SPANS)}.")
        points = without_transfers(await self._points(SPANS[span]))
        return replies.document(
            _rising(
                [{"time": _second(point.taken_at), "value": float(point.equity_usdt)} for point in points]
            )
        )

    async def _points(self, span: timedelta) -> Sequence[EquityPoint]:
        now = self._clock()
        points = await self._sources.reports.equity(now - span, now, EQUITY_POINTS)
        if not 0 < len(points) < ENOUGH_POINTS:
            return points
        first = points[0].taken_at - span / EQUITY_POINTS
        return await self._sources.reports.equity(first, now, EQUITY_POINTS)

    async def candles(
        self, request: Request, symbol: Annotated[str, Query(max_length=SYMBOL_CHARS_MAX)], minutes: int = 1
    ) -> Response:
        """Return candles of `minutes`, the levels of our position and our fills in a symbol."""
        if await self._gate.visitor(request) is None:
            return replies.to_login(request)
        if symbol_of(symbol) is None:
            raise Problem(422, "no such symbol", "A symbol is written like BTCUSDT.")
        if minutes not in MINUTES:
            raise Problem(422, "no such length", f"Known lengths: {', '.join(map(str, MINUTES))} minutes.")
        since = self._clock() - timedelta(minutes=READ_MINUTES)
        bars = await self._sources.reports.bars(symbol, since)
        fills = await self._sources.reports.fills(symbol, since)
        held = await self._held(symbol)
        return replies.document(
            {
                "candles": candles_of(bars, minutes),
                "levels": {} if held is None else self._levels(held),
                "fills": markers_of(fills, held, minutes),
            }
        )

    async def _held(self, symbol: str) -> OpenPosition | None:
        await self._sources.look(("positions", "marks"))
        held = self._sources.positions.seen.value or ()
        return next((each for each in held if each.symbol == symbol), None)

    def _levels(self, held: OpenPosition) -> Mapping[str, float | None]:
        seen = self._sources.marks.seen.value
        mark = seen.marks.get(held.signal_id) if seen else None
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


def markers_of(
    fills: Sequence[Fill], held: OpenPosition | None, minutes: int
) -> Sequence[Mapping[str, str | int]]:
    """Return a marker for each fill, the oldest first.

    The entry of an open position stands for its own fills, which are on record when its books are closed.
    """
    drawn = [(fill.filled_at, fill.side, fill.quantity) for fill in fills]
    known = {fill.signal_id for fill in fills}
    if held is not None and held.opened_at is not None and held.signal_id not in known:
        drawn.append((held.opened_at, OPENING[held.side], held.quantity))
    return [
        {"time": _slot(at, minutes), "side": side, "text": f"{side} {numerals.quantity(quantity)}"}
        for at, side, quantity in sorted(drawn, key=lambda each: each[0])
    ]


def _slot(moment: datetime, minutes: int) -> int:
    length_s = minutes * 60
    return _second(moment) // length_s * length_s


def _second(moment: datetime) -> int:
    return int(moment.timestamp())


def _rising(points: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return one point for each second, as the chart demands."""
    return list({point["time"]: point for point in points}.values())
