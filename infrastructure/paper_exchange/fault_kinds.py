"""The vocabulary of faults: what can go wrong on purpose, and what each kind needs to be told.

Knows one table. Must never keep what is armed (see `faults`) or carry a fault out (see `disturbed_requests`,
`disturbed_endpoints`, `disturbed_streams`).
"""

from enum import StrEnum
from typing import NamedTuple

from infrastructure.paper_exchange.values import Payload

ORDER_OPERATIONS = frozenset({"place_order", "place_algo"})
ORDER_READS = frozenset({"order", "open_order", "open_orders", "all_orders"})
ALGO_READS = frozenset({"algo", "open_algos", "all_algos"})
FILL_READS = frozenset({"user_trades"})
HISTORY_READS = FILL_READS | {"income"}
USER_EVENTS = frozenset({"ORDER_TRADE_UPDATE", "ALGO_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE"})


class FaultKind(StrEnum):
    """What can go wrong."""

    UNKNOWN_503 = "unknown_503"
    SERVICE_UNAVAILABLE = "service_unavailable"
    INTERNAL_ERROR = "internal_error"
    UNEXPECTED_RESPONSE = "unexpected_response"
    BACKEND_TIMEOUT = "backend_timeout"
    HTTP_408 = "http_408"
    CONNECTION_RESET = "connection_reset"
    DELAY = "delay"
    THROTTLED = "throttled"
    TOO_MANY_REQUESTS = "too_many_requests"
    BANNED = "banned"
    REFUSED = "refused"
    PARTIAL_FILL = "partial_fill"
    HIDDEN_ORDER = "hidden_order"
    HIDDEN_ALGO = "hidden_algo"
    HIDDEN_FILL = "hidden_fill"
    SHORT_PAGE = "short_page"
    FEE_ASSET = "fee_asset"
    STREAM_SILENT = "stream_silent"
    STREAM_GAP = "stream_gap"
    STREAM_DROP = "stream_drop"
    STREAM_DUPLICATE = "stream_duplicate"
    STREAM_LATE = "stream_late"
    LISTEN_KEY_EXPIRED = "listen_key_expired"
    MARKET_SILENT = "market_silent"
    CLOCK_SKEW = "clock_skew"
    RULES_CHANGED = "rules_changed"


class Stage(StrEnum):
    """Where a fault strikes, and so by what it is matched and how it is armed."""

    REQUEST = "request"
    ORDER = "order"
    READ = "read"
    ANSWER = "answer"
    EVENT = "event"
    SPELL = "spell"
    ACT = "act"


_ARMING = frozenset({"times", "probability", "seed", "for_ms"})
_ORDER_MATCHER = frozenset({"symbol", "role"})
_MATCHER = _ORDER_MATCHER | {"operation"}
_FIELDS: dict[Stage, frozenset[str]] = {
    Stage.REQUEST: _MATCHER | _ARMING,
    Stage.ORDER: _ORDER_MATCHER | _ARMING,
    Stage.READ: _MATCHER | _ARMING,
    Stage.ANSWER: _MATCHER | _ARMING,
    Stage.EVENT: _MATCHER | _ARMING,
    Stage.SPELL: frozenset({"for_ms"}),
    Stage.ACT: frozenset(),
}
"""What every kind of a stage may be told."""


class KindRow(NamedTuple):
    """One row of the table: where it strikes, what it must and may be told beyond that, what it does."""

    stage: Stage
    does: str
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    """The only operations it can meet; empty: every one."""

    @property
    def known(self) -> frozenset[str]:
        """Every field that it understands."""
        return _FIELDS[self.stage] | self.needs | self.takes


_EXECUTED = frozenset({"executed"})
_DELAY = frozenset({"delay_ms"})
_RETRY = frozenset({"retry_after_s"})
_SPAN = frozenset({"for_ms"})
_HIDE = frozenset({"hide_ms"})

KINDS: dict[FaultKind, KindRow] = {
    FaultKind.UNKNOWN_503: KindRow(
        Stage.REQUEST,
        "503 'Unknown error, …', after it was executed (executed: false: instead)",
        takes=_EXECUTED,
    ),
    FaultKind.SERVICE_UNAVAILABLE: KindRow(Stage.REQUEST, "503 'Service Unavailable.', never executed"),
    FaultKind.INTERNAL_ERROR: KindRow(Stage.REQUEST, "503 'Internal error; …', never executed"),
    FaultKind.UNEXPECTED_RESPONSE: KindRow(
        Stage.REQUEST, "-1006, after it was executed (executed: false: instead)", takes=_EXECUTED
    ),
    FaultKind.BACKEND_TIMEOUT: KindRow(
        Stage.REQUEST, "408 with -1007, after it was executed (executed: false: instead)", takes=_EXECUTED
    ),
    FaultKind.HTTP_408: KindRow(
        Stage.REQUEST, "408 without a code, after it was executed (executed: false: instead)", takes=_EXECUTED
    ),
    FaultKind.CONNECTION_RESET: KindRow(
        Stage.REQUEST,
        "the connection is closed without an answer, after it was executed (executed: false: instead)",
        takes=_EXECUTED,
    ),
    FaultKind.DELAY: KindRow(
        Stage.REQUEST,
        "a true answer delay_ms late; executed at_once (default), at_end (recvWindow is checked again, as "
        "for a request that was long on its way) or at_end_unchecked (as for one held up inside)",
        needs=_DELAY,
        takes=frozenset({"execution"}),
    ),
    FaultKind.THROTTLED: KindRow(
        Stage.REQUEST,
        "503 with -1008, never executed; reduce-only, close-position and cancels are exempt",
        operations=ORDER_OPERATIONS,
    ),
    FaultKind.TOO_MANY_REQUESTS: KindRow(
        Stage.REQUEST, "429 with -1003 and Retry-After, never executed", takes=_RETRY
    ),
    FaultKind.BANNED: KindRow(Stage.REQUEST, "418 with -1003 and Retry-After, never executed", takes=_RETRY),
    FaultKind.REFUSED: KindRow(
        Stage.REQUEST,
        "a plain error code, never executed; msg is needed for a code without a text of its own here",
        needs=frozenset({"code"}),
        takes=frozenset({"msg", "status"}),
    ),
    FaultKind.PARTIAL_FILL: KindRow(
        Stage.ORDER,
        "an IOC or MARKET order fills only this share of its quantity (whole steps, at least one), the rest "
        "expires; entries only, unless a role says otherwise; orders of a single step fill as usual",
        needs=frozenset({"share"}),
    ),
    FaultKind.HIDDEN_ORDER: KindRow(
        Stage.READ,
        "an order placed from now on is missing (-2013, not listed) for hide_ms after it was placed",
        needs=_HIDE,
        operations=ORDER_READS,
    ),
    FaultKind.HIDDEN_ALGO: KindRow(
        Stage.READ, "the same for a conditional order", needs=_HIDE, operations=ALGO_READS
    ),
    FaultKind.HIDDEN_FILL: KindRow(
        Stage.READ, "the same for a fill in userTrades", needs=_HIDE, operations=FILL_READS
    ),
    FaultKind.SHORT_PAGE: KindRow(
        Stage.ANSWER, "a history answers with its first half only", operations=HISTORY_READS
    ),
    FaultKind.FEE_ASSET: KindRow(
        Stage.ANSWER,
        "userTrades says that the fees were paid in another asset, the amounts as they were",
        needs=frozenset({"asset"}),
        operations=FILL_READS,
    ),
    FaultKind.STREAM_SILENT: KindRow(
        Stage.SPELL, "user data events are lost for for_ms; the connection stays", needs=_SPAN
    ),
    FaultKind.STREAM_GAP: KindRow(
        Stage.SPELL, "user data events are lost for for_ms, then the connections are closed", needs=_SPAN
    ),
    FaultKind.STREAM_DROP: KindRow(Stage.ACT, "the user data connections are closed now; the key stays"),
    FaultKind.STREAM_DUPLICATE: KindRow(
        Stage.EVENT, "a user data event is sent twice", operations=USER_EVENTS
    ),
    FaultKind.STREAM_LATE: KindRow(
        Stage.EVENT,
        "a user data event is sent delay_ms later, so that others overtake it",
        needs=_DELAY,
        operations=USER_EVENTS,
    ),
    FaultKind.LISTEN_KEY_EXPIRED: KindRow(
        Stage.ACT, "the listen key expires now, which its listeners are told"
    ),
    FaultKind.MARKET_SILENT: KindRow(
        Stage.SPELL,
        "market streams (of one symbol, or all) send nothing for for_ms",
        needs=_SPAN,
        takes=frozenset({"symbol"}),
    ),
    FaultKind.CLOCK_SKEW: KindRow(
        Stage.SPELL,
        "the exchange's clock is skew_ms ahead (negative: behind): time, recvWindow, answers and events",
        needs=frozenset({"skew_ms"}),
    ),
    FaultKind.RULES_CHANGED: KindRow(
        Stage.SPELL,
        "a symbol's rules are others than a client has read: exchangeInfo shows step and tick, orders that "
        "do not fit are refused with -1111 and -4014; listing is its status (SETTLING, …: orders that may "
        "open a position are refused with -4140) or 'gone' (not listed, -1121); shown: false leaves "
        "exchangeInfo as it was",
        needs=frozenset({"symbol"}),
        takes=frozenset({"step", "tick", "listing", "shown"}),
    ),
}


def vocabulary() -> dict[str, Payload]:
    """The table for people: kind → what it does, needs and takes, and its operations if those are few."""
    rows: dict[str, Payload] = {}
    for kind, row in KINDS.items():
        optional = row.known - row.needs
        rows[kind.value] = {"does": row.does, "needs": sorted(row.needs), "takes": sorted(optional)}
        if row.operations:
            rows[kind.value]["operations"] = sorted(row.operations)
    return rows
