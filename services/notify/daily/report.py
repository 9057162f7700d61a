"""The report of a day: when it is due, and how its numbers read.

Pure. A report is late rather than missing, up to a bound: what is older is no news.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from services.notify.telling.kinds import Kind
from services.notify.telling.message_format import Notification, shortened
from services.notify.telling.texts import Language
from shared import ids
from shared.money import CENT, ZERO
from shared.values import Side, TradingState
from shared.wording import cents, signed

LATE_MAX = timedelta(hours=20)
"""A report this much later than its time is not made any more; the next one is near."""
REASONS_MAX = 5
POSITIONS_MAX = 6
OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Trade:
    """A trade worth naming."""

    symbol: str
    side: str
    net_usdt: Decimal


@dataclass(frozen=True, kw_only=True)
class DayNumbers:
    """What a day brought, and the account at its end. Amounts in USDT; drawdown a fraction of the peak."""

    trades: int
    wins: int
    net_usdt: Decimal
    fees_usdt: Decimal
    unprotected_s_max: Decimal | None
    best: Trade | None
    worst: Trade | None
    outcomes: Sequence[tuple[str, str, int]]
    """Outcome, reason, signals; the most frequent first."""
    equity_usdt: Decimal | None
    growth: Decimal | None
    """By what fraction trading changed the equity, transfers left out."""
    paid_in_usdt: Decimal = ZERO
    """Deposits less withdrawals."""
    drawdown: Decimal | None
    positions: Sequence[tuple[str, str]]
    """Symbol and side of what is open now."""
    state: str
    foreign: Sequence[tuple[str, str, bool]] = ()
    """Symbol and side of what is open now and not ours, and whether a stop stands for it."""


def due_day(now: datetime, at: str) -> date | None:
    """Return the day whose report is due at `now`, None while it is too early, too late or off.

    The report of a day is due on the next day at `at`, `HH:MM` UTC.
    """
    if at == OFF:
        return None
    due_at = datetime.combine(now.date(), time.fromisoformat(at), UTC)
    if now < due_at or now - due_at > LATE_MAX:
        return None
    return now.date() - timedelta(days=1)


def bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first moment of a UTC day and of the next."""
    since = datetime.combine(day, time(), UTC)
    return since, since + timedelta(days=1)


def write(day: date, numbers: DayNumbers, now: datetime, words: Language) -> Notification:
    """Return the report of a day in one language."""
    title, body, gist = words.texts[Kind.DAILY_REPORT].fill(_values(day, numbers, words))
    return Notification(
        event_id=report_id(day),
        correlation_id=f"daily-report-{day}",
        kind=Kind.DAILY_REPORT,
        title=title,
        body=body,
        gist=shortened(gist, 60),
        occurred_at=now,
    )


def report_id(day: date) -> str:
    """Return the id of a day's report: the same on every replica."""
    return ids.event_id("notify.daily_report", day.isoformat())


def _values(day: date, numbers: DayNumbers, words: Language) -> dict[str, str]:
    some = numbers.trades > 0
    return {
        "day": day.isoformat(),
        "net": signed(numbers.net_usdt),
        "trades": str(numbers.trades) if some else "",
        "no_trades": "" if some else ".",
        "wins": str(numbers.wins),
        "win_rate": format((Decimal(numbers.wins) / numbers.trades * 100).quantize(Decimal(1)), "f")
        if some
        else "",
        "fees": cents(numbers.fees_usdt),
        "best": _trade(numbers.best, words),
        "worst": _trade(numbers.worst, words) if numbers.trades > 1 else "",
        "signals": _signals(numbers.outcomes, words),
        "equity": "" if numbers.equity_usdt is None else cents(numbers.equity_usdt),
        "equity_change": "–" if numbers.growth is None else signed(numbers.growth * 100),
        "paid_in": signed(numbers.paid_in_usdt) if numbers.paid_in_usdt else "",
        "drawdown": "–" if numbers.drawdown is None else format((numbers.drawdown * 100).quantize(CENT), "f"),
        "positions": _positions(numbers.positions, words),
        "foreign": _foreign(numbers.foreign, words),
        "unprotected": ""
        if numbers.unprotected_s_max is None
        else format(max(ZERO, numbers.unprotected_s_max).quantize(CENT), "f"),
        "state": words.states[TradingState(numbers.state)],
    }


def _trade(trade: Trade | None, words: Language) -> str:
    if trade is None:
        return ""
    return f"{trade.symbol} {words.sides[Side(trade.side)]} {signed(trade.net_usdt)}"


def _signals(outcomes: Sequence[tuple[str, str, int]], words: Language) -> str:
    """Return outcomes with their counts, and for what did not trade the most frequent reasons."""
    names = {outcome.value: name for outcome, name in words.outcomes.items()}
    counts: dict[str, int] = {}
    for outcome, _, count in outcomes:
        counts[outcome] = counts.get(outcome, 0) + count
    sums = ", ".join(f"{count} {names.get(outcome, outcome)}" for outcome, count in counts.items())
    why = [
        (reason, count) for outcome, reason, count in outcomes if outcome in ("rejected", "expired", "failed")
    ]
    reasons = ", ".join(f"{count} {words.reason(reason)}" for reason, count in why[:REASONS_MAX])
    return f"{sums} ({reasons})" if reasons else sums


def _foreign(positions: Sequence[tuple[str, str, bool]], words: Language) -> str:
    named = [
        f"{symbol} {words.sides[Side(side)]}{'' if has_stop else ' ⚠ ' + words.phrases['no_stop']}"
        for symbol, side, has_stop in positions[:POSITIONS_MAX]
    ]
    rest = len(positions) - len(named)
    if rest:
        named.append(words.phrases["more_parts"].format(count=rest))
    return ", ".join(named)


def _positions(positions: Sequence[tuple[str, str]], words: Language) -> str:
    if not positions:
        return words.phrases["no_price"]
    named = [f"{symbol} {words.sides[Side(side)]}" for symbol, side in positions[:POSITIONS_MAX]]
    rest = len(positions) - len(named)
    if rest:
        named.append(words.phrases["more_parts"].format(count=rest))
    return ", ".join(named)
