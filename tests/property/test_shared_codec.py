"""Messages as bytes: what a message holds comes back equal, and no bytes do more harm than a MessageFault."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import codec
from shared.database import _microseconds, _moment
from shared.errors import MessageFault
from shared.models import MESSAGES, Envelope, Message
from tests.contract.samples import GOLDEN

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
AMOUNTS = st.decimals(-(10**20), 10**20, allow_nan=False, allow_infinity=False, places=8) | st.builds(
    lambda digits, exponent: Decimal(digits).scaleb(exponent),
    st.integers(-(10**18), 10**18),
    st.integers(-30, 30),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SAMPLES = sorted(GOLDEN.glob("*.json"))


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for a type of the vocabulary."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values_of(arguments[0])
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if origin in (Union, UnionType):
        return st.one_of(*(values_of(each) for each in arguments))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.builds(
            kind, **{field.name: values_of(field.type) for field in msgspec.structs.fields(kind)}
        )
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    return _SIMPLE[kind]


_SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    Decimal: AMOUNTS,
    datetime: MOMENTS,
    str: st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    msgspec.UnsetType: st.just(msgspec.UNSET),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    type(None): st.none(),
}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.SCHEMA))
def test_every_message_comes_back_equal(kind: type[Message]) -> None:
    @given(values_of(kind), values_of(str), st.none() | values_of(str), MOMENTS)
    def holds(payload: Message, correlation_id: str, causation_id: str | None, occurred_at: datetime) -> None:
        sent = codec.envelop(
            payload,
            correlation_id=correlation_id,
            causation_id=causation_id,
            occurred_at=occurred_at,
            producer="test",
        )
        body = codec.encode(sent)
        assert codec.decode(body) == sent
        assert codec.encode(codec.decode(body)) == body

    holds()


@given(st.text())
def test_no_message_carries_what_postgresql_cannot_keep(text: str) -> None:
    """A NUL, however it is written, would make whoever stores the message fail for ever."""
    assert codec.encode_value(text) == msgspec.json.encode(text.replace("\0", "\ufffd"))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_message_fault(body: bytes) -> None:
    assert _is_decoded_or_refused(body)


@given(st.sampled_from(SAMPLES), st.data())
def test_a_damaged_message_is_decoded_or_refused(sample: Any, data: st.DataObject) -> None:
    body = bytearray(sample.read_bytes())
    start = data.draw(st.integers(0, len(body) - 1))
    end = data.draw(st.integers(start, min(len(body), start + 40)))
    body[start:end] = data.draw(st.binary(max_size=20))
    assert _is_decoded_or_refused(bytes(body))


@given(st.sampled_from(SAMPLES), st.data(), JSON)
def test_a_message_with_any_value_in_any_place_is_decoded_or_refused(
    sample: Any, data: st.DataObject, value: object
) -> None:
    whole = json.loads(sample.read_bytes())
    inner = whole
    while True:
        key = data.draw(st.sampled_from(list(inner) if isinstance(inner, dict) else list(range(len(inner)))))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = value
    assert _is_decoded_or_refused(json.dumps(whole).encode())


@given(MOMENTS)
def test_a_moment_survives_the_database_to_the_microsecond(moment: datetime) -> None:
    assert _moment(_microseconds(moment)) == moment


def _is_decoded_or_refused(body: bytes) -> bool:
    """Whatever is decoded is finite money and aware time, all the way down."""
    try:
        envelope = codec.decode(body)
    except MessageFault:
        return True
    return _is_sound(envelope)


def _is_sound(value: object) -> bool:
    if isinstance(value, Envelope | msgspec.Struct):
        return all(_is_sound(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, tuple):
        return all(_is_sound(each) for each in value)
    if isinstance(value, Decimal):
        return value.is_finite()
    if isinstance(value, datetime):
        return value.utcoffset() is not None
    return not isinstance(value, float)
