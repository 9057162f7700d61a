"""The book as metrics: equity, the day, the limits used, what is at risk.

Every replica shows the same book, whichever of them folded the last fact. It must never decide: the checks
read the book itself.
"""

import asyncio
import math
from decimal import Decimal

from services.risk import value_at_risk
from services.risk.flow import RiskFlow
from services.risk.market_view import MarketView
from services.risk.position_manager import Book, ReservationState
from services.risk.status import Reading, limit_shares, portfolio_risk_usdt, reserved_risk_usdt
from shared import metrics
from shared.errors import RedisUnavailable
from shared.money import CENT
from shared.values import TradingState

INTERVAL_S = 5.0

Losses = dict[str, value_at_risk.Loss]


class BookGauges:
    """Shows what RISK knows, again and again."""

    def __init__(self, flow: RiskFlow, market: MarketView) -> None:
        self._flow = flow
        self._market = market
        self._losses_seen: Losses | None = None

    async def keep(self) -> None:
        """Loop: read and show."""
        while True:
            reading = await self._flow.status()
            show(reading)
            self._losses_seen = await self._losses(reading.book)
            _show_losses(self._losses_seen)
            await asyncio.sleep(INTERVAL_S)

    def measures(self) -> dict[str, Decimal | None]:
        """Return the losses last seen, USDT, by confidence; None while the returns do not suffice."""
        seen = self._losses_seen or {}
        told: dict[str, Decimal | None] = {}
        for confidence in (quantile.name for quantile in value_at_risk.QUANTILES):
            loss = seen.get(confidence)
            told[f"VaR {confidence} % 1 d, USDT"] = loss and loss.value_at_risk_usdt.quantize(CENT)
            told[f"CVaR {confidence} % 1 d, USDT"] = loss and loss.expected_shortfall_usdt.quantize(CENT)
        return told

    async def _losses(self, book: Book) -> Losses | None:
        held = value_at_risk.holdings(
            [
                (each.symbol, each.notional_usdt * each.side.sign)
                for each in book.live()
                if each.state is ReservationState.OPEN
            ]
        )
        try:
            return value_at_risk.losses(held, await self._market.returns_of(held))
        except RedisUnavailable:
            return None


def show(reading: Reading) -> None:
    """Show the account and what is used of its limits."""
    book, account = reading.book, reading.book.account
    if account.equity_usdt is not None and account.available_usdt is not None:
        metrics.EQUITY_USDT.set(_number(account.equity_usdt))
        metrics.AVAILABLE_USDT.set(_number(account.available_usdt))
    if account.snapshot_taken_at is not None:
        metrics.ACCOUNT_TIME_SECONDS.set(account.snapshot_taken_at.timestamp())
    metrics.DAY_RESULT_USDT.set(_number(account.day_result_usdt(reading.now)))
    metrics.DRAWDOWN_RATIO.set(_number(account.drawdown))
    for name, share in limit_shares(reading).items():
        metrics.LIMIT_USED_RATIO.labels(limit=name).set(_number(share))
    metrics.OPEN_POSITIONS.set(sum(each.state is ReservationState.OPEN for each in book.live()))
    metrics.RESERVED_RISK_USDT.set(_number(reserved_risk_usdt(book)))
    metrics.PORTFOLIO_RISK_USDT.set(_number(portfolio_risk_usdt(reading)))
    for state in TradingState:
        metrics.TRADING_STATE.labels(state=state.value).set(1 if account.state is state else 0)


def _show_losses(losses: Losses | None) -> None:
    for quantile in value_at_risk.QUANTILES:
        loss = None if losses is None else losses[quantile.name]
        at_risk = math.nan if loss is None else _number(loss.value_at_risk_usdt)
        shortfall = math.nan if loss is None else _number(loss.expected_shortfall_usdt)
        metrics.VALUE_AT_RISK_USDT.labels(confidence=quantile.name).set(at_risk)
        metrics.EXPECTED_SHORTFALL_USDT.labels(confidence=quantile.name).set(shortfall)


def _number(amount: Decimal) -> float:
    """Turn money into a gauge's float: the one border where that is right, for nobody computes with it."""
    return float(amount)
