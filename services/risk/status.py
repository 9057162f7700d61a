"""What `GET /status` and `POST /check` answer: the book, the limits and a decision, as plain values. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from services.risk.correlation import Correlations, Exposure, portfolio_risk
from services.risk.disk_space import DiskSpace
from services.risk.findings import config_findings
from services.risk.limits import APPROVED, Decision
from services.risk.position_manager import Book, Reservation
from services.risk.profiles import SPECS, Limits, as_text
from shared.money import ZERO, plain


class Reading(NamedTuple):
    """What was read together for one look: the book, the limits in force, how held symbols move together."""

    book: Book
    limits: Limits
    correlations: Correlations
    now: datetime
    disk: DiskSpace | None = None


def status_of(reading: Reading, profile: str) -> dict[str, object]:
    """Return RISK's state: account, every limit with what is used of it, what is held and open."""
    book, limits, now = reading.book, reading.limits, reading.now
    account = book.account
    return {
        "state": account.state,
        "trading_epoch": account.trading_epoch,
        "profile": profile,
        "wallet_usdt": account.wallet_usdt,
        "equity_usdt": account.equity_usdt,
        "available_usdt": account.available_usdt,
        "snapshot_age_s": _snapshot_age_s(book, now),
        "day_pnl_usdt": account.day_result_usdt(now),
        "drawdown": _rounded(account.drawdown),
        "limits": limits_used(reading),
        "reservations": [_shown(each) for each in book.live()],
        "findings": config_findings(limits),
    }


def limits_used(reading: Reading) -> list[dict[str, object]]:
    """Return every limit by name with its unit, and how much of it is used where that has a meaning."""
    return [
        {
            "name": name,
            "used": _text(_USED[name](reading)) if name in _USED else None,
            "limit": as_text(getattr(reading.limits, name)),
            "unit": spec.unit,
            "about": spec.about,
        }
        for name, spec in SPECS.items()
    ]


def limit_shares(reading: Reading) -> dict[str, Decimal]:
    """Return the used-up share of each limit, 1 = all of it; what has none or is not known is left out."""
    shares: dict[str, Decimal] = {}
    for name, measured in _USED.items():
        used, limit = measured(reading), Decimal(getattr(reading.limits, name))
        if used is not None and limit > ZERO:
            shares[name] = _rounded(Decimal(used) / limit)
    return shares


def answer_of(decision: Decision) -> dict[str, object]:
    """Return a decision as `POST /check` tells it."""
    return {
        "approved": decision.is_approved,
        "outcome": APPROVED if decision.outcome is None else decision.outcome,
        "reason": decision.reason,
        "checks": decision.checks,
        "sizing": decision.sizing,
    }


def reserved_risk_usdt(book: Book) -> Decimal:
    """Return the plain sum of what is at risk at the stops, held and open."""
    return sum((each.risk_usdt for each in book.live()), ZERO)


def portfolio_risk_usdt(reading: Reading) -> Decimal:
    """Return sqrt(rᵀCr) over what is held and open: the number that decisions hold against the limit."""
    exposures = [Exposure(each.symbol, each.side, each.risk_usdt) for each in reading.book.live()]
    return portfolio_risk(exposures, reading.correlations) if exposures else ZERO


def _snapshot_age_s(book: Book, now: datetime) -> Decimal | None:
    taken_at = book.account.snapshot_taken_at
    return None if taken_at is None else Decimal(str((now - taken_at).total_seconds()))


def _share(book: Book, amount_usdt: Decimal) -> Decimal | None:
    equity_usdt = book.account.equity_usdt
    return _rounded(amount_usdt / equity_usdt) if equity_usdt else None


def _largest(book: Book, amount: Callable[[Reservation], Decimal]) -> Decimal | None:
    return _share(book, max((amount(each) for each in book.live()), default=ZERO))


def _rounded(fraction: Decimal) -> Decimal:
    return fraction.quantize(Decimal("0.000001"))


def _text(used: Decimal | int | None) -> str | None:
    return plain(used) if isinstance(used, Decimal) else None if used is None else str(used)


_USED: Mapping[str, Callable[[Reading], Decimal | int | None]] = {
    "account_data_age_max_s": lambda seen: _snapshot_age_s(seen.book, seen.now),
    "position_margin_max": lambda seen: _largest(seen.book, lambda each: each.margin_usdt),
    "risk_per_trade_max": lambda seen: _largest(seen.book, lambda each: each.risk_usdt),
    "probes_per_day_max": lambda seen: seen.book.probes_today,
    "positions_max": lambda seen: len(seen.book.live()),
    "portfolio_risk_max": lambda seen: _share(seen.book, portfolio_risk_usdt(seen)),
    "daily_loss_max": lambda seen: _rounded(seen.book.account.day_loss(seen.now)),
    "drawdown_max": lambda seen: _rounded(seen.book.account.drawdown),
    "entries_per_day_max": lambda seen: seen.book.entries_today,
    "entries_per_minute_max": lambda seen: seen.book.entries_last_minute,
}


def _shown(each: Reservation) -> dict[str, object]:
    return {
        "signal_id": each.signal_id,
        "strategy": each.strategy,
        "symbol": each.symbol,
        "side": each.side,
        "state": each.state,
        "is_ours": each.is_ours,
        "is_probe": each.is_probe,
        "quantity": each.quantity,
        "entry_price": each.entry_price,
        "notional_usdt": each.notional_usdt,
        "margin_usdt": each.margin_usdt,
        "risk_usdt": each.risk_usdt,
        "reserved_at": each.reserved_at,
    }
