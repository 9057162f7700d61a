"""Reads what somebody wants to go wrong, and says what is wrong with the wish.

Knows fields and their bounds. Must never arm anything (see `faults`).
"""

from collections.abc import Collection
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from infrastructure.paper_exchange.errors import text_of
from infrastructure.paper_exchange.fault_kinds import KINDS, FaultKind, KindRow
from infrastructure.paper_exchange.values import ONE, ZERO, Payload

TIMES_MAX = 100_000
FOR_MS_MAX = 3_600_000
DELAY_MS_MAX = 60_000
SKEW_MS_MAX = 120_000
RETRY_AFTER_S_MAX = 3_600
RETRY_AFTER_S_DEFAULT = 5
TEXT_CHARS_MAX = 300
WORD_CHARS_MAX = 64
ANY = "any"
GONE = "gone"
"""What `listing` says of a symbol that is not listed any more."""

Duration = Annotated[int, msgspec.Meta(ge=1, le=FOR_MS_MAX)]
Delay = Annotated[int, msgspec.Meta(ge=1, le=DELAY_MS_MAX)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=WORD_CHARS_MAX)]


class Execution(StrEnum):
    """When a delayed request is carried out."""

    AT_ONCE = "at_once"
    AT_END = "at_end"
    AT_END_UNCHECKED = "at_end_unchecked"


class FaultError(ValueError):
    """What was asked for cannot be armed; the text says why."""


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants to go wrong. Which fields a kind needs and takes stands in `KINDS`."""

    kind: FaultKind
    operation: Word | None = None
    symbol: Word | None = None
    role: Word | None = None
    times: Annotated[int, msgspec.Meta(ge=1, le=TIMES_MAX)] | None = None
    probability: Decimal | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**62)] | None = None
    for_ms: Duration | None = None
    executed: bool | None = None
    delay_ms: Delay | None = None
    execution: Execution | None = None
    code: Annotated[int, msgspec.Meta(ge=-99_999, le=-1)] | None = None
    msg: Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)] | None = None
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    retry_after_s: Annotated[int, msgspec.Meta(ge=1, le=RETRY_AFTER_S_MAX)] | None = None
    share: Decimal | None = None
    hide_ms: Duration | None = None
    step: Decimal | None = None
    tick: Decimal | None = None
    listing: Word | None = None
    shown: bool | None = None
    asset: Word | None = None
    skew_ms: Annotated[int, msgspec.Meta(ge=-SKEW_MS_MAX, le=SKEW_MS_MAX)] | None = None

    @property
    def row(self) -> KindRow:
        """The kind's row of the table."""
        return KINDS[self.kind]

    def told(self) -> Payload:
        """The fields that were given, as JSON values."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value is not None}


def read_order(body: bytes, symbols: Collection[str], operations: Collection[str]) -> FaultOrder:
    """Read and check a JSON body; raises `FaultError` saying what is wrong with it."""
    try:
        order = msgspec.json.decode(body, type=FaultOrder)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        kinds = f"; one of {', '.join(KINDS)}" if "$.kind" in str(error) else ""
        raise FaultError(f"{error}{kinds}") from None
    _check_fields(order)
    _check_operation(order, operations)
    if order.symbol is not None and order.symbol not in symbols:
        raise FaultError(f"symbol {order.symbol!r} is not listed")
    for name, value in (("probability", order.probability), ("share", order.share)):
        if value is not None and not (value.is_finite() and ZERO < value <= ONE):
            raise FaultError(f"{name} must be above 0 and at most 1")
    for name, value in (("step", order.step), ("tick", order.tick)):
        if value is not None and not (value.is_finite() and value > ZERO):
            raise FaultError(f"{name} must be above 0")
    if order.share == ONE:
        raise FaultError("share must be below 1: the whole is no partial fill")
    if order.code is not None and order.msg is None and text_of(order.code) is None:
        raise FaultError(f"there is no text for code {order.code} here: give msg")
    return order


def _check_fields(order: FaultOrder) -> None:
    row = order.row
    given = order.told().keys() - {"kind"}
    if missing := row.needs - given:
        raise FaultError(f"{order.kind} needs {', '.join(sorted(missing))}")
    if foreign := given - row.known:
        raise FaultError(
            f"{', '.join(sorted(foreign))} means nothing to {order.kind}: "
            f"it takes {', '.join(sorted(row.known)) or 'nothing'}"
        )
    if order.seed is not None and order.probability is None:
        raise FaultError("seed means nothing without probability")


def _check_operation(order: FaultOrder, operations: Collection[str]) -> None:
    possible = order.row.operations or operations
    if order.operation is not None and order.operation not in {ANY, *possible}:
        raise FaultError(
            f"operation {order.operation!r} cannot meet {order.kind}: "
            f"one of {', '.join(sorted(name for name in possible if ' ' not in name))}"
            f"{'' if order.row.operations else ', any, or method and path'}"
        )
