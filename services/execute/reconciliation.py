"""The exchange's view against ours, and what to correct (P7). Pure; runs at every start, and on.

Invariants: every entry of ours with a position has it on the exchange, protected by its stop and target;
every order of ours on the exchange belongs to such an entry. The exchange is read *before* our books: an
order seen there then always has its entry in the books already, so nothing fresh is taken for an orphan.
Orders and positions that are not ours are reported, never touched. A stop of ours whose entry nobody knows
any more stays while a position stands that it protects: our books may be the ones that are incomplete.
"""

from collections.abc import Sequence
from enum import StrEnum

from services.execute.order_state import MAY_HAVE_POSITION, Entry, EntryState
from services.execute.takeover import ours_for
from services.execute.venue import AlgoReport, OrderReport, OrderSide, VenuePosition
from services.execute.venue_rows import BadRow, Rows
from shared import ids
from shared.values import Value


class CorrectionKind(StrEnum):
    """What to do about a difference."""

    ADVANCE = "advance"  # an unfinished step of ours: take it up again
    SETTLE = "settle"  # our position is gone from the exchange: close the books
    RESTORE_PROTECTION = "restore_protection"  # a stop or target does not stand
    ADOPT = "adopt"  # an entry given up as unknown has a position after all (P6)
    TAKE_OVER = "take_over"  # a position that our books do not know, protected by a stop of ours
    CANCEL_ALGO = "cancel_algo"  # a conditional order of ours that nothing owns
    CANCEL_ORDER = "cancel_order"  # an ordinary order of ours that nothing owns
    REPORT_EXTERNAL = "report_external"  # a position that is not ours
    REPORT_QUANTITY = "report_quantity"  # another quantity than ours


class Correction(Value, frozen=True, kw_only=True):
    """One difference and its remedy; `subject` is a signal id, a client id or a symbol, by kind."""

    kind: CorrectionKind
    subject: str
    symbol: str
    detail: str


class VenueView(Value, frozen=True, kw_only=True):
    """What the exchange holds at one moment."""

    positions: tuple[VenuePosition, ...]
    algos: tuple[AlgoReport, ...]
    orders: tuple[OrderReport, ...]
    unread: tuple[BadRow, ...] = ()
    """Rows of positions that could not be read: what they may be about is not known, and so not flat."""

    def may_hide(self, symbol: str) -> bool:
        """Tell whether a position of this symbol may be in a row that could not be read."""
        return Rows((), self.unread).may_hide(symbol)


def corrections(
    view: VenueView, entries: Sequence[Entry], installation: str, lost: Sequence[Entry] = ()
) -> list[Correction]:
    """Return what to correct, our own positions first.

    `entries` are all that are not final, `lost` those that were given up because their order was not found.
    """
    return [
        *_entries_against_venue(view, entries, installation),
        *_orders_without_entry(view, entries, installation),
        *_positions_without_entry(view, entries, lost, installation),
    ]


def _entries_against_venue(view: VenueView, entries: Sequence[Entry], installation: str) -> list[Correction]:
    held = {(each.symbol, each.side): each for each in view.positions}
    standing = {each.client_id for each in view.algos if each.is_standing}
    found: list[Correction] = []
    for entry in entries:
        position = held.get((entry.symbol, entry.side))
        if entry.state not in (EntryState.PROTECTED, EntryState.CLOSING):
            found.append(_about(CorrectionKind.ADVANCE, entry, f"found {entry.state}"))
        elif position is None and view.may_hide(entry.symbol):
            continue  # not known is not flat: its stop stands, and the next look may be able to read it
        elif position is None:
            found.append(_about(CorrectionKind.SETTLE, entry, "no position on the exchange"))
        elif entry.state is EntryState.CLOSING:
            found.append(_about(CorrectionKind.ADVANCE, entry, "still open while closing"))
        else:
            missing = [each for each in protection_ids(entry, installation) if each not in standing]
            if missing:
                found.append(missing_protection(entry, f"missing {', '.join(missing)}"))
            if position.quantity != entry.filled_quantity:
                detail = f"exchange holds {position.quantity}, our books {entry.filled_quantity}"
                found.append(_about(CorrectionKind.REPORT_QUANTITY, entry, detail))
    return found


def _orders_without_entry(view: VenueView, entries: Sequence[Entry], installation: str) -> list[Correction]:
    alive = _alive(entries)
    owned_stems = {ids.stem(entry.client_id) for entry in alive}
    unowned = {(each.symbol, OrderSide.closing(each.side)) for each in _unowned(view, entries)}
    found = [
        Correction(
            kind=CorrectionKind.CANCEL_ALGO,
            subject=algo.client_id,
            symbol=algo.symbol,
            detail=f"{algo.client_id} {algo.status} at {algo.trigger_price} belongs to no position of ours",
        )
        for algo in view.algos
        if ids.is_ours(algo.client_id, installation)
        and ids.stem(algo.client_id) not in owned_stems
        and (algo.symbol, algo.side) not in unowned
        and not view.may_hide(algo.symbol)  # it may be the stop of a position that could not be read
    ]
    found += [
        Correction(
            kind=CorrectionKind.CANCEL_ORDER,
            subject=order.client_id,
            symbol=order.symbol,
            detail=f"{order.client_id} {order.status} belongs to no position of ours",
        )
        for order in view.orders
        if ids.is_ours(order.client_id, installation) and ids.stem(order.client_id) not in owned_stems
    ]
    return found


def _positions_without_entry(
    view: VenueView, entries: Sequence[Entry], lost: Sequence[Entry], installation: str
) -> list[Correction]:
    """A stop of ours says whose a position is. Without one it may be that of an order given up as unknown."""
    by_stem = {ids.stem(entry.client_id): entry for entry in lost}
    given_up = {(entry.symbol, entry.side): entry for entry in lost}
    found: list[Correction] = []
    for position in _unowned(view, entries):
        ours = ours_for(position, view.algos, installation)
        entry = by_stem.get(ids.stem(ours[0].client_id)) if ours else None
        if not ours:
            entry = given_up.get((position.symbol, position.side))
        if entry is not None:
            found.append(_about(CorrectionKind.ADOPT, entry, _described(position)))
        elif ours:
            found.append(_take_over(position))
        else:
            found.append(not_ours(position))
    return found


def _take_over(position: VenuePosition) -> Correction:
    return Correction(
        kind=CorrectionKind.TAKE_OVER,
        subject=position.symbol,
        symbol=position.symbol,
        detail=f"{_described(position)} has a stop of ours and was missing from our books",
    )


def not_ours(position: VenuePosition) -> Correction:
    """Return that a position is somebody else's."""
    return Correction(
        kind=CorrectionKind.REPORT_EXTERNAL,
        subject=position.symbol,
        symbol=position.symbol,
        detail=f"{_described(position)} is not ours: Phoenix neither protects nor closes it",
    )


def _described(position: VenuePosition) -> str:
    return f"{position.side} {position.quantity} at {position.entry_price}"


def _alive(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.state in MAY_HAVE_POSITION]


def _unowned(view: VenueView, entries: Sequence[Entry]) -> list[VenuePosition]:
    owned = {(entry.symbol, entry.side) for entry in _alive(entries)}
    return [position for position in view.positions if (position.symbol, position.side) not in owned]


def protection_ids(entry: Entry, installation: str) -> tuple[str, str]:
    """Return the client ids of the entry's stop-loss and take-profit."""
    return (
        ids.client_order_id(installation, entry.signal_id, ids.OrderRole.STOP_LOSS),
        ids.client_order_id(installation, entry.signal_id, ids.OrderRole.TAKE_PROFIT),
    )


def missing_protection(entry: Entry, detail: str) -> Correction:
    """Return that the stop or the target of an entry does not stand."""
    return _about(CorrectionKind.RESTORE_PROTECTION, entry, detail)


def _about(kind: CorrectionKind, entry: Entry, detail: str) -> Correction:
    return Correction(kind=kind, subject=entry.signal_id, symbol=entry.symbol, detail=detail)
