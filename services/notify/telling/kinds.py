"""What kinds of messages there are, in which lane each travels, and how loudly the operator wants to hear it.

Pure. It must never let danger be switched off.
"""

from collections.abc import Mapping
from enum import StrEnum

from shared.values import Severity


class Lane(StrEnum):
    """How urgently a message travels. The order is the order in which they leave."""

    DANGER = "danger"  # a message of its own each, before everything else, never too old
    TRADES = "trades"  # each is told with its numbers, in the order in which it happened
    WARNING = "warning"
    ROUTINE = "routine"  # many are summed up in one message


class Level(StrEnum):
    """How loudly a kind is told."""

    ON = "on"
    SILENT = "silent"  # arrives without sound
    OFF = "off"  # kept, not sent


class Kind(StrEnum):
    """Every kind of message: the names that `PHOENIX_NOTIFICATION_LEVELS` takes."""

    POSITION_OPENED = "position_opened"
    POSITION_NAKED = "position_naked"
    POSITION_CLOSED = "position_closed"
    POSITION_CLOSED_OUTSIDE = "position_closed_outside"
    BOOKS_COMPLETED = "books_completed"
    PROTECTION_LATE = "protection_late"
    PROTECTION_FAILED = "protection_failed"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    DECISION_REJECTED = "decision_rejected"
    SIGNAL_ENDED = "signal_ended"
    SIGNAL_FAILED = "signal_failed"
    SIGNAL_PARKED = "signal_parked"
    ORDER_ENDED = "order_ended"
    ORDER_FAILED = "order_failed"
    ORDER_REFUSED = "order_refused"
    CLOSE_IGNORED = "close_ignored"
    TRADING_ACTIVE = "trading_active"
    TRADING_REDUCING = "trading_reducing"
    TRADING_HALTED = "trading_halted"
    ALERT_INFO = "alert_info"
    ALERT_WARNING = "alert_warning"
    ALERT_CRITICAL = "alert_critical"
    DAILY_REPORT = "daily_report"


SEVERITIES: Mapping[Kind, Severity] = {
    Kind.POSITION_OPENED: Severity.INFO,
    Kind.POSITION_NAKED: Severity.CRITICAL,
    Kind.POSITION_CLOSED: Severity.INFO,
    Kind.POSITION_CLOSED_OUTSIDE: Severity.WARNING,
    Kind.BOOKS_COMPLETED: Severity.INFO,
    Kind.PROTECTION_LATE: Severity.WARNING,
    Kind.PROTECTION_FAILED: Severity.CRITICAL,
    Kind.LIQUIDATION: Severity.CRITICAL,
    Kind.ADL: Severity.CRITICAL,
    Kind.DECISION_REJECTED: Severity.INFO,
    Kind.SIGNAL_ENDED: Severity.INFO,
    Kind.SIGNAL_FAILED: Severity.WARNING,
    Kind.SIGNAL_PARKED: Severity.WARNING,
    Kind.ORDER_ENDED: Severity.INFO,
    Kind.ORDER_FAILED: Severity.WARNING,
    Kind.ORDER_REFUSED: Severity.WARNING,
    Kind.CLOSE_IGNORED: Severity.INFO,
    Kind.TRADING_ACTIVE: Severity.INFO,
    Kind.TRADING_REDUCING: Severity.WARNING,
    Kind.TRADING_HALTED: Severity.CRITICAL,
    Kind.ALERT_INFO: Severity.INFO,
    Kind.ALERT_WARNING: Severity.WARNING,
    Kind.ALERT_CRITICAL: Severity.CRITICAL,
    Kind.DAILY_REPORT: Severity.INFO,
}

ALERTS: Mapping[Severity, Kind] = {
    Severity.INFO: Kind.ALERT_INFO,
    Severity.WARNING: Kind.ALERT_WARNING,
    Severity.CRITICAL: Kind.ALERT_CRITICAL,
}

TRADES = frozenset(
    {
        Kind.POSITION_OPENED,
        Kind.POSITION_CLOSED,
        Kind.POSITION_CLOSED_OUTSIDE,
        Kind.BOOKS_COMPLETED,
        Kind.TRADING_ACTIVE,
        Kind.TRADING_REDUCING,
        Kind.DAILY_REPORT,
    }
)

NEVER_REPEATS = TRADES | {
    Kind.POSITION_NAKED,
    Kind.PROTECTION_FAILED,
    Kind.LIQUIDATION,
    Kind.ADL,
    Kind.TRADING_HALTED,
}
"""Two of these with the same words are two events, and both are told."""

NEVER_OFF = frozenset(kind for kind, severity in SEVERITIES.items() if severity is Severity.CRITICAL)
SEVERITY_ORDER = (Severity.INFO, Severity.WARNING, Severity.CRITICAL)


def lane_of(kind: Kind) -> Lane:
    """Return the lane in which a kind travels."""
    if SEVERITIES[kind] is Severity.CRITICAL:
        return Lane.DANGER
    if kind in TRADES:
        return Lane.TRADES
    return Lane.WARNING if SEVERITIES[kind] is Severity.WARNING else Lane.ROUTINE


def levels_from(text: str) -> Mapping[Kind, Level]:
    """Read `kind=level` pairs, separated by commas; a kind that is not named is on.

    Raises:
        ValueError: a name is unknown, stands twice, or danger was to be switched off.
    """
    levels: dict[Kind, Level] = {}
    for pair in (part.strip() for part in text.split(",")):
        if not pair:
            continue
        name, _, wanted = (part.strip() for part in pair.partition("="))
        if name not in set(Kind):
            raise ValueError(f"`{name}` is no kind of message; there are: {', '.join(sorted(Kind))}")
        if wanted not in set(Level):
            raise ValueError(f"`{pair}`: write {name}=on, {name}=silent or {name}=off")
        kind, level = Kind(name), Level(wanted)
        if kind in levels:
            raise ValueError(f"`{name}` stands twice")
        if level is Level.OFF and kind in NEVER_OFF:
            raise ValueError(f"{name} tells of danger and cannot be off; {name}=silent takes its sound away")
        levels[kind] = level
    return levels


def is_loud_enough(severity: Severity, least: Severity) -> bool:
    """Tell whether a channel that takes `least` and above takes this severity."""
    return SEVERITY_ORDER.index(severity) >= SEVERITY_ORDER.index(least)
