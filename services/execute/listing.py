"""What the exchange lists and what of it we watch. Pure: exchangeInfo and brackets in, instruments out.

A symbol that cannot be traded (delisted, not yet trading, a row that cannot be read) is left out with the
reason, and the others are not touched by it.
"""

from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any, NamedTuple

from services.execute.venue_parse import decimal
from services.execute.venue_rows import UNREADABLE, name_of, why_unreadable
from shared.market import Bracket, Instrument
from shared.money import ZERO

Payload = Mapping[str, Any]

EVERY_SYMBOL = "*"
NOT_LISTED = "not listed by the exchange"
SYMBOLS_TOLD_MAX = 20


class Listing(NamedTuple):
    """What trades, by symbol, and why the rest does not."""

    instruments: Mapping[str, Instrument]
    unfit: Mapping[str, str]


class Choice(NamedTuple):
    """What we watch, and what we were to watch and cannot, with the reason."""

    watched: Mapping[str, Instrument]
    left_out: Mapping[str, str]


def read_listing(info: Payload, brackets: object, taker_fee_rate: Decimal) -> Listing:
    """Join exchangeInfo and leverageBracket into the perpetual USDT instruments that trade."""
    tiers = _tiers(brackets)
    instruments: dict[str, Instrument] = {}
    unfit: dict[str, str] = {}
    for row in _rows(info.get("symbols")):
        name = name_of(row)
        if name is None:
            continue  # nobody can trade what has no name
        try:
            why = _why_unfit(row) or _why_without_tiers(name, tiers)
            if why is None:
                found = tiers[name]
                assert not isinstance(found, str)
                instruments[name] = _instrument(row, found, taker_fee_rate)
            else:
                unfit[name] = why
        except UNREADABLE as error:
            unfit[name] = f"its row cannot be read: {why_unreadable(error)}"
    return Listing(instruments, unfit)


def a_symbol(info: Payload) -> str | None:
    """Return a symbol that trades, to ask for something that is the same for all of them."""
    for row in _rows(info.get("symbols")):
        name = name_of(row)
        if name is not None and row.get("status") == "TRADING" and row.get("contractType") == "PERPETUAL":
            return name
    return None


def choose(wanted: str, listing: Listing, known: Set[str] = frozenset()) -> Choice:
    """Return what of `wanted` (names, or `*`) can be watched, and why the rest cannot.

    With `*`, what is `known` (watched or named before) and gone is named too, and what cannot be read.
    """
    if wanted.strip() == EVERY_SYMBOL:
        names = listing.instruments.keys() | known
        names |= {name for name, why in listing.unfit.items() if why.startswith("its ")}
    else:
        names = {part.strip().upper() for part in wanted.split(",") if part.strip()}
    watched = {name: listing.instruments[name] for name in sorted(names) if name in listing.instruments}
    left_out = {name: listing.unfit.get(name, NOT_LISTED) for name in sorted(names) if name not in watched}
    return Choice(watched, left_out)


def in_words(left_out: Mapping[str, str]) -> str:
    """Return which symbols are left out and why, as one line."""
    named = [f"{name} ({why})" for name, why in list(left_out.items())[:SYMBOLS_TOLD_MAX]]
    more = len(left_out) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _rows(raw: object) -> list[Any]:
    return raw if isinstance(raw, list) else []


def _why_unfit(row: Payload) -> str | None:
    """Say why a contract is not for us; a status that is not TRADING is settling, pending or delisted."""
    if row["quoteAsset"] != "USDT":
        return f"it is quoted in {row['quoteAsset']}"
    if row["contractType"] != "PERPETUAL":
        return f"it is a contract of the kind {row['contractType']}"
    if row["status"] != "TRADING":
        return f"status {row['status']}"
    return None


def _why_without_tiers(name: str, tiers: Mapping[str, tuple[Bracket, ...] | str]) -> str | None:
    found = tiers.get(name)
    if found is None:
        return "it has no leverage brackets"
    return f"its brackets cannot be read: {found}" if isinstance(found, str) else None


def _tiers(brackets: object) -> dict[str, tuple[Bracket, ...] | str]:
    """Return the brackets by symbol, or why they cannot be read."""
    found: dict[str, tuple[Bracket, ...] | str] = {}
    for row in _rows(brackets):
        name = name_of(row)
        if name is None:
            continue
        try:
            found[name] = tuple(_bracket(each) for each in row["brackets"]) or "the list is empty"
        except UNREADABLE as error:
            found[name] = why_unreadable(error)
    return found


def _instrument(raw: Payload, brackets: tuple[Bracket, ...], taker_fee_rate: Decimal) -> Instrument:
    filters = {each["filterType"]: each for each in raw["filters"]}
    lot = filters["LOT_SIZE"]
    market_lot = filters.get("MARKET_LOT_SIZE", lot)
    made = Instrument(
        symbol=raw["symbol"],
        tick_size=decimal(filters["PRICE_FILTER"]["tickSize"]),
        step_size=max(decimal(lot["stepSize"]), decimal(market_lot["stepSize"])),
        quantity_min=max(decimal(lot["minQty"]), decimal(market_lot["minQty"])),
        quantity_max=min(decimal(lot["maxQty"]), decimal(market_lot["maxQty"])),
        notional_min_usdt=decimal(filters["MIN_NOTIONAL"]["notional"]),
        taker_fee_rate=taker_fee_rate,
        brackets=brackets,
    )
    if min(made.tick_size, made.step_size, made.quantity_max) <= ZERO:
        raise ValueError("a step or a largest quantity of zero")
    return made


def _bracket(raw: Payload) -> Bracket:
    return Bracket(
        leverage_max=int(raw["initialLeverage"]),
        notional_floor_usdt=decimal(raw["notionalFloor"]),
        notional_cap_usdt=decimal(raw["notionalCap"]),
        maintenance_rate=decimal(raw["maintMarginRatio"]),
        maintenance_amount_usdt=decimal(raw["cum"]),
    )
