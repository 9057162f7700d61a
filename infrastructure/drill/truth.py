"""The final truth of a system at rest, as values: what the exchange did, what the record says, what is stuck.

Nothing here is a service's opinion: rows of the exchange's own ledger, rows of the database, letters in
dead-letter queues. It must never judge (`promises` does) nor fetch (`reading` does).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

FILLED_STATES = frozenset({"filled", "protected", "closing", "closed"})
OPEN_STATES = frozenset({"filled", "protected", "closing"})


@dataclass(frozen=True, kw_only=True)
class SignalRow:
    """A signal that BRAIN recorded; `outcome` is None while it has none."""

    signal_id: str
    action: str
    outcome: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class EntryRow:
    """An approved entry in EXECUTE's books. Amounts in USDT, quantities in base units."""

    signal_id: str
    client_id: str
    symbol: str
    side: str
    state: str
    filled_quantity: Decimal
    first_fill_at: datetime | None
    closed_at: datetime | None
    net_pnl_usdt: Decimal | None


@dataclass(frozen=True, kw_only=True)
class VenueOrder:
    """An ordinary order as the exchange has it, open or done."""

    order_id: str
    client_id: str
    symbol: str
    status: str
    executed_quantity: Decimal

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status in ("NEW", "PARTIALLY_FILLED")


@dataclass(frozen=True, kw_only=True)
class VenueAlgo:
    """A conditional order as the exchange has it, standing or done."""

    client_id: str
    symbol: str
    status: str
    created_at: datetime

    @property
    def is_standing(self) -> bool:
        """Whether it waits for its trigger."""
        return self.status == "NEW"


@dataclass(frozen=True, kw_only=True)
class VenueTrade:
    """One trade of the account; `net_usdt` is realised profit less commission."""

    trade_id: str
    symbol: str
    order_id: str
    side: str
    quantity: Decimal
    net_usdt: Decimal


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A parked message; `signal_id` is None when it belongs to no signal."""

    queue: str
    schema: str
    signal_id: str | None


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Everything a promise is judged by."""

    installation: str
    accepted: frozenset[str]
    """Signal ids that were answered 200."""
    duplicates: Mapping[str, str]
    """Ids of repeated alerts, with the signal each repeats."""
    signals: tuple[SignalRow, ...]
    entries: tuple[EntryRow, ...]
    booked_trades: frozenset[tuple[str, str]]
    """Symbol and trade id of every trade that EXECUTE booked to an entry."""
    reserved: frozenset[str]
    """Signals whose risk is held or open in RISK's book."""
    dead_letters: tuple[DeadLetter, ...]
    messages_owed: int
    """Outbox rows of all services that were not sent."""
    orders: tuple[VenueOrder, ...]
    algos: tuple[VenueAlgo, ...]
    trades: tuple[VenueTrade, ...]
    positions: Mapping[str, Decimal]
    """Symbol to position amount, signed; only what is not flat."""
    wallet_usdt: Decimal
    wallet_before_usdt: Decimal
    """What the wallet held before the first of these trades, with transfers since then counted in."""
    funding_usdt: Decimal

    def story_of(self, signal_id: str) -> str:
        """Return the signal that an accepted id leads to."""
        return self.duplicates.get(signal_id, signal_id)
