"""The book: what the account holds and what is promised, folded from reservations, position facts and
snapshots.

Facts may come late, twice and out of order, so a reservation keeps only what facts can be *joined* into (the
newest time it was seen, the highest version, an end that was told) and its state is derived from that by
`settled`. The final book is therefore the same in whatever order the facts arrive. It must never fetch, store
or decide.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import msgspec

from services.risk.account import Account, reported
from shared.models import AccountSnapshot
from shared.money import ZERO
from shared.signal_order import Moment, is_after_exit
from shared.values import Position, Side, SnapshotPosition, UtcTime, Value

OPENED_MARGIN_S = 5
"""A snapshot taken this soon after a position opened may not show it yet."""
HELD_GRACE_S = 2 + 12
"""After `valid_until`: the order's recvWindow, then the time EXECUTE looks for a lost answer."""
TAKER_FEE_RATE = Decimal("0.0005")
"""Assumed where the instrument is not at hand: for what the book holds already."""
STRATEGY_UNKNOWN = "unknown"
EVERY_SYMBOL = "*"

AHEAD_MAX = timedelta(seconds=1)
"""A time further ahead of the database clock than this is no evidence: the clock that gave it is wrong."""
APPROVAL_VALID_S = 30

NOT_IN_SNAPSHOT = "snapshot"
NEVER_SEEN = "never_seen"


class ReservationState(StrEnum):
    """Mirrors risk.reservation_state in the database."""

    HELD = "held"
    OPEN = "open"
    RELEASED = "released"


class Reservation(Value, frozen=True, kw_only=True):
    """Risk that is taken: promised (held), in the market (open), or free again (released)."""

    signal_id: str
    strategy: str
    symbol: str
    side: Side
    state: ReservationState
    is_ours: bool = True
    is_probe: bool = False
    quantity: Decimal
    entry_price: Decimal
    notional_usdt: Decimal
    margin_usdt: Decimal
    risk_usdt: Decimal
    position_version: int = 0
    reserved_at: UtcTime
    valid_until: UtcTime
    opened_at: UtcTime | None = None  # told by a position fact
    snapshot_at: UtcTime | None = None  # the newest snapshot that showed it
    ended_because: str | None = None  # told: the order ended without a position
    closed_because: str | None = None  # told: the position was closed; final
    released_because: str | None = None
    signal_received_at: UtcTime | None = None  # None: known from the exchange only
    signal_made_at: UtcTime | None = None

    @property
    def moment(self) -> Moment:
        """When its signal came, for comparing it with exits."""
        received_at = self.signal_received_at or self.reserved_at
        return Moment(strategy=self.strategy, received_at=received_at, made_at=self.signal_made_at)

    @property
    def seen_at(self) -> datetime | None:
        """Until when the evidence says that the position stands; None when it was never seen."""
        told = None if self.opened_at is None else self.opened_at + timedelta(seconds=OPENED_MARGIN_S)
        known = [moment for moment in (told, self.snapshot_at) if moment is not None]
        return max(known, default=None)


class Exit(Value, frozen=True, kw_only=True):
    """A request to close a symbol (every one: `EVERY_SYMBOL`) that was made a moment ago."""

    symbol: str
    moment: Moment


class Book(Value, frozen=True, kw_only=True):
    """Everything that counts against a limit at one moment, and the exits that may still be changing it."""

    account: Account
    reservations: Mapping[str, Reservation] = {}
    exits: tuple[Exit, ...] = ()
    entries_today: int = 0
    entries_last_minute: int = 0
    probes_today: int = 0

    def live(self) -> list[Reservation]:
        """Return what is held or open, in a stable order."""
        return [each for each in self.reservations.values() if each.state is not ReservationState.RELEASED]

    def of_symbol(self, symbol: str) -> list[Reservation]:
        """Return what is held or open in one symbol."""
        return [each for each in self.live() if each.symbol == symbol]

    def is_leaving(self, standing: Reservation, entry: Moment) -> bool:
        """Tell whether an exit that came before `entry` closes this position of ours."""
        return standing.is_ours and any(
            each.symbol in (standing.symbol, EVERY_SYMBOL)
            and is_after_exit(entry, each.moment)
            and not is_after_exit(standing.moment, each.moment)
            for each in self.exits
        )

    def without(self, signal_ids: Iterable[str]) -> "Book":
        """Return the book as if these reservations were gone."""
        gone = set(signal_ids)
        kept = {key: each for key, each in self.reservations.items() if key not in gone}
        return msgspec.structs.replace(self, reservations=kept)

    def unseen_cost_usdt(self) -> Decimal:
        """Return margins and entry fees that the reported free balance does not know of: held, or opened
        since.
        """
        return sum(
            (
                each.margin_usdt + each.notional_usdt * TAKER_FEE_RATE
                for each in self.live()
                if not self.is_reported(each)
            ),
            ZERO,
        )

    def is_reported(self, reservation: Reservation) -> bool:
        """Tell whether the reported free balance knows of this reservation's margin."""
        reported_at, seen_at = self.account.snapshot_taken_at, reservation.snapshot_at
        return seen_at is not None and reported_at is not None and seen_at >= reported_at


def is_ahead(moment: datetime, now: datetime) -> bool:
    """Tell whether a time is none that a right clock can have given by now."""
    return moment > now + AHEAD_MAX


def as_of(book: Book, now: datetime) -> Book:
    """Return the book without times that are ahead of the database clock: that clock was set back, or an
    earlier version trusted another one.

    They would count as the newest evidence until the clock gets there. What they said stays, as said now.
    """
    account = book.account
    if account.snapshot_taken_at is not None and is_ahead(account.snapshot_taken_at, now):
        account = msgspec.structs.replace(account, snapshot_taken_at=None)
    if account.day is not None and account.day > (now + AHEAD_MAX).date():
        account = msgspec.structs.replace(account, day=now.date())  # its first equity stays: no fresh start
    reservations = {key: _not_ahead(each, now) for key, each in book.reservations.items()}
    return msgspec.structs.replace(book, account=account, reservations=reservations)


def _not_ahead(reservation: Reservation, now: datetime) -> Reservation:
    changes: dict[str, datetime] = {}
    for name, bound in (
        ("opened_at", now),
        ("snapshot_at", now),
        ("valid_until", now + timedelta(seconds=APPROVAL_VALID_S)),
    ):
        moment = getattr(reservation, name)
        if moment is not None and is_ahead(moment, bound):
            changes[name] = bound
    return msgspec.structs.replace(reservation, **changes) if changes else reservation


def external_id(symbol: str) -> str:
    """Return the id under which a position that is not ours is kept."""
    return f"external:{symbol}"


def reserve(book: Book, reservation: Reservation) -> Book:
    """Return the book with a fresh approval in it, counted."""
    return msgspec.structs.replace(
        book,
        reservations={**book.reservations, reservation.signal_id: reservation},
        entries_today=book.entries_today + 1,
        entries_last_minute=book.entries_last_minute + 1,
        probes_today=book.probes_today + reservation.is_probe,
    )


def apply_position(book: Book, position: Position) -> Book:
    """Return the book after a fact told that this position stands; older versions change nothing."""
    known = book.reservations.get(position.signal_id)
    if known is None:
        return _put(book, _from_position(position))
    changes: dict[str, object] = {
        "strategy": position.strategy,
        "opened_at": min(filter(None, (known.opened_at, position.opened_at))),
    }
    if position.version > known.position_version:
        changes["position_version"] = position.version
        if known.snapshot_at is None:  # the exchange's own numbers are not replaced by told ones
            changes |= _told_size(position)
    return _put(book, msgspec.structs.replace(known, **changes))


def apply_closed(book: Book, position: Position, reason: str) -> Book:
    """Return the book after a fact told that this position is closed: final for its signal."""
    known = book.reservations.get(position.signal_id) or _from_position(position)
    return _put(book, msgspec.structs.replace(known, closed_because=reason))


def apply_order_ended(book: Book, signal_id: str, reason: str) -> Book:
    """Return the book after a fact told that the entry ended without a position."""
    known = book.reservations.get(signal_id)
    if known is None:
        return book
    return _put(book, msgspec.structs.replace(known, ended_because=reason))


def apply_snapshot(book: Book, snapshot: AccountSnapshot, stop_distance: Decimal) -> Book:
    """Return the book after the exchange's own report, which replaces what was told before it was taken.

    `stop_distance` (fraction of price) is the risk assumed for a position of ours whose stop is not shown.
    """
    account = reported(book.account, snapshot)
    reservations = dict(book.reservations)
    for shown in snapshot.positions:
        key = shown.signal_id or external_id(shown.symbol)
        reservations[key] = _shown(reservations.get(key), key, shown, snapshot.taken_at, stop_distance)
    taken_at = account.snapshot_taken_at
    settled_all = {key: settled(each, taken_at) for key, each in reservations.items()}
    return msgspec.structs.replace(book, account=account, reservations=settled_all)


def settled(reservation: Reservation, reported_at: datetime | None) -> Reservation:
    """Return the reservation in the state that everything known about it adds up to.

    `reported_at` is when the newest snapshot was taken.
    """
    state, because = _state(reservation, reported_at)
    return msgspec.structs.replace(reservation, state=state, released_because=because)


def _state(reservation: Reservation, reported_at: datetime | None) -> tuple[ReservationState, str | None]:
    if reservation.closed_because is not None:
        return ReservationState.RELEASED, reservation.closed_because
    seen_at = reservation.seen_at
    if seen_at is not None:
        if reported_at is None or seen_at >= reported_at:
            return ReservationState.OPEN, None
        return ReservationState.RELEASED, NOT_IN_SNAPSHOT
    if reservation.ended_because is not None:
        return ReservationState.RELEASED, reservation.ended_because
    given_up_at = reservation.valid_until + timedelta(seconds=HELD_GRACE_S)
    if reported_at is not None and reported_at > given_up_at:
        return ReservationState.RELEASED, NEVER_SEEN
    return ReservationState.HELD, None


def _put(book: Book, reservation: Reservation) -> Book:
    fresh = settled(reservation, book.account.snapshot_taken_at)
    return msgspec.structs.replace(book, reservations={**book.reservations, fresh.signal_id: fresh})


def _told_size(position: Position) -> dict[str, object]:
    return {
        "quantity": position.quantity,
        "entry_price": position.entry_price,
        "notional_usdt": position.quantity * position.entry_price,
        "margin_usdt": position.margin_usdt,
        "risk_usdt": position.risk_usdt,
    }


def _from_position(position: Position) -> Reservation:
    return Reservation(
        signal_id=position.signal_id,
        strategy=position.strategy,
        symbol=position.symbol,
        side=position.side,
        state=ReservationState.OPEN,
        quantity=position.quantity,
        entry_price=position.entry_price,
        notional_usdt=position.quantity * position.entry_price,
        margin_usdt=position.margin_usdt,
        risk_usdt=position.risk_usdt,
        position_version=position.version,
        reserved_at=position.opened_at,
        valid_until=position.opened_at,
        opened_at=position.opened_at,
    )


def _shown(
    known: Reservation | None, key: str, shown: SnapshotPosition, taken_at: datetime, stop_distance: Decimal
) -> Reservation:
    if known is not None and known.snapshot_at is not None and known.snapshot_at >= taken_at:
        return known
    notional = shown.quantity * shown.entry_price
    before = known or Reservation(
        signal_id=key,
        strategy=STRATEGY_UNKNOWN,
        symbol=shown.symbol,
        side=shown.side,
        state=ReservationState.OPEN,
        is_ours=shown.signal_id is not None,
        quantity=shown.quantity,
        entry_price=shown.entry_price,
        notional_usdt=notional,
        margin_usdt=shown.margin_usdt,
        risk_usdt=ZERO,
        reserved_at=taken_at,
        valid_until=taken_at,
    )
    return msgspec.structs.replace(
        before,
        side=shown.side,
        quantity=shown.quantity,
        entry_price=shown.entry_price,
        notional_usdt=notional,
        margin_usdt=shown.margin_usdt,
        risk_usdt=_risk_shown(shown, stop_distance),
        snapshot_at=taken_at,
    )


def _risk_shown(shown: SnapshotPosition, stop_distance: Decimal) -> Decimal:
    """Return the loss at the stop; ours will be protected or flattened, a stranger's may not."""
    notional = shown.quantity * shown.entry_price
    fees = 2 * TAKER_FEE_RATE * notional
    if shown.stop_price is not None:
        away = shown.side.sign * (shown.entry_price - shown.stop_price)
        return max(away, ZERO) * shown.quantity + fees
    if shown.signal_id is not None:
        return notional * stop_distance + fees
    return shown.margin_usdt
