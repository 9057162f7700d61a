"""What refuses every entry now, whatever the signal: state, limits that are used up, data that is old. Pure.

The same comparisons as the checks of a decision make (`signal_checks`, `portfolio_checks`), for whoever
looks: it must never decide.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from services.risk.profiles import UNLIMITED, Limits
from services.risk.status import Reading, portfolio_risk_usdt
from services.risk.verdicts import percent, seconds, usdt
from shared.market import Tick
from shared.money import ZERO, plain
from shared.values import TradingState

SYMBOLS_SHOWN_MAX = 20
FORGOTTEN_AFTER = timedelta(hours=1)
"""A symbol without a price for so long is not watched any more."""

_STATE_REASONS = {TradingState.REDUCING: "trading_reducing", TradingState.HALTED: "trading_halted"}

Block = Mapping[str, str]


def blocks_of(reading: Reading, ticks: Mapping[str, Tick]) -> list[Block]:
    """Return every reason for which an entry would be refused now, with what was measured."""
    found = [*_by_state(reading), *_by_disk(reading), *_by_account(reading), *_by_limits(reading)]
    market = market_of(ticks, reading.limits, reading.now)
    if not market["fresh"]:
        limit = seconds(reading.limits.market_data_age_max_s)
        found.append(_block("market_data_stale", str(market["newest_age_s"] or "no price"), limit))
    return found


def market_of(ticks: Mapping[str, Tick], limits: Limits, now: datetime) -> dict[str, object]:
    """Return how many symbols have a price that may be traded on, and which have not."""
    ages = {symbol: tick.age_s(now) for symbol, tick in ticks.items()}
    limit_s = limits.market_data_age_max_s
    watched = {symbol: age_s for symbol, age_s in ages.items() if age_s <= FORGOTTEN_AFTER.total_seconds()}
    stale = sorted(symbol for symbol, age_s in watched.items() if age_s > limit_s)
    newest_s = min(ages.values(), default=None)
    return {
        "symbols": len(watched),
        "fresh": len(watched) - len(stale),
        "stale": stale[:SYMBOLS_SHOWN_MAX],
        "newest_age_s": None if newest_s is None else newest_s,
    }


def _by_state(reading: Reading) -> Iterator[Block]:
    state = reading.book.account.state
    if state in _STATE_REASONS:
        yield _block(_STATE_REASONS[state], state, TradingState.ACTIVE)


def _by_disk(reading: Reading) -> Iterator[Block]:
    disk = reading.disk
    if disk is not None and disk.is_short:
        yield _block("disk_space_low", disk.measured, disk.limit)


def _by_account(reading: Reading) -> Iterator[Block]:
    account, limits = reading.book.account, reading.limits
    if account.snapshot_taken_at is None:
        yield _block("account_data_stale", "no account snapshot yet", seconds(limits.account_data_age_max_s))
        return
    age_s = Decimal(str((reading.now - account.snapshot_taken_at).total_seconds()))
    if abs(age_s) > limits.account_data_age_max_s:
        yield _block("account_data_stale", seconds(age_s), seconds(limits.account_data_age_max_s))
    if account.equity_usdt is not None and account.equity_usdt <= ZERO:
        yield _block("account_empty", f"equity {plain(account.equity_usdt)} USDT", "above 0")
    elif account.available_usdt is not None and account.available_usdt <= ZERO:
        yield _block("free_balance", usdt(account.available_usdt), "above 0")


def _by_limits(reading: Reading) -> Iterator[Block]:
    book, limits = reading.book, reading.limits
    loss, fall = book.account.day_loss(reading.now), book.account.drawdown
    if loss >= limits.daily_loss_max:
        yield _block("daily_loss", percent(loss), f"below {percent(limits.daily_loss_max)}")
    if fall >= limits.drawdown_max:
        yield _block("drawdown", percent(fall), f"below {percent(limits.drawdown_max)}")
    held, equity_usdt = len(book.live()), book.account.equity_usdt
    if held >= limits.positions_max:
        yield _block("positions_max", str(held), f"below {limits.positions_max}")
    if equity_usdt:
        risk_usdt, risk_max_usdt = portfolio_risk_usdt(reading), limits.portfolio_risk_max * equity_usdt
        if risk_usdt >= risk_max_usdt:
            yield _block("portfolio_risk_max", usdt(risk_usdt), usdt(risk_max_usdt))
    for name, used, limit in (
        ("entries_per_day_max", book.entries_today, limits.entries_per_day_max),
        ("entries_per_minute_max", book.entries_last_minute, limits.entries_per_minute_max),
    ):
        if limit != UNLIMITED and used >= limit:
            yield _block(name, str(used), f"below {limit}")


def _block(reason: str, measured: str, limit: str) -> Block:
    return {"reason": reason, "measured": measured, "limit": limit}
