"""What the pages say in numbers, computed from what was read: positions and danger, limits and their use.

Pure. Amounts are USDT, shares fractions of 1. It must never fill in a number that nobody knows: that is None.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from services.notify.report_rows import OpenPosition
from shared.money import ONE, ZERO
from shared.values import Side, liquidation_danger


class Danger(StrEnum):
    """How much of the way from entry to liquidation is used up (DESIGN 6.5)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


DANGER_FROM = (
    (Decimal("0.75"), Danger.CRITICAL),
    (Decimal("0.50"), Danger.HIGH),
    (Decimal("0.25"), Danger.MEDIUM),
)

NEARLY_FULL = Decimal("0.75")
"""From this share on a limit is shown as nearly used up."""
SIZING_LIMITS = frozenset({"position_margin_max", "risk_per_trade_max"})
"""Positions are sized up to these: that one is reached is the ordinary case and no warning."""


@dataclass(frozen=True)
class Mark:
    """What the exchange says of a position now."""

    mark_price: Decimal | None
    liquidation_price: Decimal | None
    unrealised_usdt: Decimal | None
    leverage: int | None = None
    is_isolated: bool | None = None


@dataclass(frozen=True)
class PositionFigures:
    """One position as a line of the page."""

    held: OpenPosition
    mark: Mark
    margin_share: Decimal | None
    risk_multiple: Decimal | None
    danger_share: Decimal | None
    danger: Danger | None
    age_s: float | None
    naked_s: float | None
    """Since when its entry fills stand without a confirmed stop; None: it is protected."""


@dataclass(frozen=True)
class LimitFigures:
    """One limit and how much of it is used."""

    name: str
    used: Decimal
    limit: Decimal
    unit: str
    about: str

    @property
    def share(self) -> Decimal:
        """How much of the limit is used, 0..1."""
        return min(ONE, max(ZERO, self.used / self.limit)) if self.limit > ZERO else ZERO

    @property
    def tone(self) -> str:
        """`ok`, `near` or `full`."""
        if self.name in SIZING_LIMITS:
            return "ok"
        return "full" if self.used >= self.limit else "near" if self.share >= NEARLY_FULL else "ok"


@dataclass(frozen=True)
class AtExchange:
    """What EXECUTE tells of the exchange: our positions' marks by signal id, and orders that are not ours."""

    marks: Mapping[str, Mark]
    foreign_orders: Sequence[Mapping[str, Any]] = ()


def at_exchange(document: Mapping[str, Any]) -> AtExchange:
    """Return what EXECUTE's `/positions` tells of the exchange."""
    return AtExchange(marks_of(document), document.get("foreign_orders") or ())


def marks_of(document: Mapping[str, Any]) -> Mapping[str, Mark]:
    """Return EXECUTE's marks by signal id."""
    return {
        each["signal_id"]: Mark(
            _decimal(each["mark_price"]),
            _decimal(each["liquidation_price"]) or None,  # 0: it cannot be liquidated
            _decimal(each["unrealised_pnl_usdt"]),
            each.get("leverage"),
            each.get("is_isolated"),
        )
        for each in document["positions"]
    }


def figures_of(held: OpenPosition, mark: Mark | None, now: datetime) -> PositionFigures:
    """Return the line of one position; `mark` is None when the exchange's side is not known."""
    seen = mark or Mark(None, None, None)
    used_up = danger_share(held.side, held.entry_price, seen.mark_price, seen.liquidation_price)
    age_s = None if held.opened_at is None else (now - held.opened_at).total_seconds()
    return PositionFigures(
        held=held,
        mark=seen,
        margin_share=_over(seen.unrealised_usdt, held.margin_usdt),
        risk_multiple=_over(seen.unrealised_usdt, held.risk_usdt),
        danger_share=used_up,
        danger=None if used_up is None else danger_of(used_up),
        age_s=age_s,
        naked_s=None if held.protected_at is not None or held.state == "closing" else age_s,
    )


def danger_share(
    side: str, entry: Decimal | None, mark: Decimal | None, liquidation: Decimal | None
) -> Decimal | None:
    """Return the used-up share of the way from entry to liquidation, 0..1."""
    if entry is None or mark is None or liquidation is None:
        return None
    share = liquidation_danger(Side(side), entry, mark, liquidation)
    return None if share is None else min(ONE, share)


def danger_of(share: Decimal) -> Danger:
    """Return the level of a used-up share."""
    return next((level for least, level in DANGER_FROM if share >= least), Danger.LOW)


def total_unrealised(positions: Sequence[PositionFigures]) -> Decimal | None:
    """Return the sum; None when it is not known of one of them."""
    amounts = [each.mark.unrealised_usdt for each in positions]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, ZERO) if len(known) == len(amounts) else None


def total_margin(positions: Sequence[OpenPosition]) -> Decimal:
    """Return the margin of all positions, as sized."""
    return sum((each.margin_usdt or ZERO for each in positions), ZERO)


def limits_in_use(status: Mapping[str, Any]) -> Sequence[LimitFigures]:
    """Return the limits of RISK's status of which some measure is used, the fullest first."""
    measured = [
        LimitFigures(
            row["name"], Decimal(row["used"]), Decimal(row["limit"]), row["unit"], row.get("about", "")
        )
        for row in status["limits"]
        if row["used"] is not None and Decimal(row["limit"]) > ZERO
    ]
    return sorted(measured, key=lambda each: each.share, reverse=True)


def limits_at_rest(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the limits that have no measure to be held against."""
    return [row for row in status["limits"] if row["used"] is None or Decimal(row["limit"]) <= ZERO]


def limit_named(status: Mapping[str, Any], name: str) -> LimitFigures | None:
    """Return one limit in use."""
    return next((each for each in limits_in_use(status) if each.name == name), None)


def exposure_usdt(status: Mapping[str, Any]) -> Mapping[str, Decimal]:
    """Return the notional held and reserved, long and short."""
    notional = {side.value: ZERO for side in Side}
    for each in status["reservations"]:
        notional[each["side"]] += Decimal(each["notional_usdt"])
    return notional


def measures_of(status: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    """Return the risk measures (VaR and the like) that RISK tells, by name; none when it tells none."""
    told = status.get("measures") or {}
    return [{"name": str(name), "value": str(value)} for name, value in told.items() if value is not None]


def _over(part: Decimal | None, whole: Decimal | None) -> Decimal | None:
    return None if part is None or not whole else part / whole


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
