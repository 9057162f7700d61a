"""The final truth of a system at rest, as values: what the exchange did, what the record says, what is stuck.

Nothing here is a service's opinion: rows of the exchange's own ledger, rows of the database, letters in
dead-letter queues. It must never judge (`promises` does) nor fetch (`reading` does).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

FILLED_STATES = frozenset({"filled", "protected", "closing", "closed"})
OPEN_STATES = frozenset({"filled", "protected", "closing"})


@dataclass(frozen=True, kw_only=True)
class SignalRow:
    """A signal that BRAIN recorded; `outcome` is None while it has none."""

    signal_id: str
    symbol: str
    action: str
    received_at: datetime
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
    created_at: datetime
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
    placed_at: datetime

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
    changed_at: datetime
    """When it got this status."""

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
    traded_at: datetime


@dataclass(frozen=True, kw_only=True)
class Charge:
    """Money moved outside a trade: funding, a liquidation's fee; paid is negative."""

    symbol: str
    amount_usdt: Decimal
    charged_at: datetime


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
    reserved: Mapping[str, str]
    """Signals whose risk is held or open in RISK's book, with their symbols."""
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
    charges: tuple[Charge, ...]
    is_complete: bool = True
    """Whether the exchange still has every row; its histories are bounded."""

    @property
    def earned_usdt(self) -> Decimal:
        """What all trades and charges add up to."""
        traded = sum((each.net_usdt for each in self.trades), Decimal(0))
        return traded + sum((each.amount_usdt for each in self.charges), Decimal(0))

    def since(self, begun_at: datetime, symbols: Collection[str]) -> "Truth":
        """Return the truth about what began since then on these symbols, which were flat at that time.

        The wallet is everybody's: of it only these trades are left.
        """
        kept = replace(
            self,
            signals=tuple(e for e in self.signals if e.symbol in symbols and e.received_at >= begun_at),
            entries=tuple(e for e in self.entries if e.symbol in symbols and e.created_at >= begun_at),
            reserved={signal: symbol for signal, symbol in self.reserved.items() if symbol in symbols},
            orders=tuple(e for e in self.orders if e.symbol in symbols and e.placed_at >= begun_at),
            algos=tuple(e for e in self.algos if e.symbol in symbols and e.created_at >= begun_at),
            trades=tuple(e for e in self.trades if e.symbol in symbols and e.traded_at >= begun_at),
            charges=tuple(e for e in self.charges if e.symbol in symbols and e.charged_at >= begun_at),
            positions={symbol: amount for symbol, amount in self.positions.items() if symbol in symbols},
            is_complete=True,
        )
        known = {each.signal_id for each in kept.signals} | self.accepted
        return replace(
            kept,
            dead_letters=tuple(each for each in self.dead_letters if each.signal_id in known),
            wallet_before_usdt=self.wallet_usdt - kept.earned_usdt,
        )

    def story_of(self, signal_id: str) -> str:
        """Return the signal that an accepted id leads to."""
        return self.duplicates.get(signal_id, signal_id)
