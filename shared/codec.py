"""Messages to bytes and back: strict JSON, one table of schemas.

It must never guess: an unknown schema, an unknown field, a naive time, or money that is not a plain decimal
string is a `MessageFault`.
"""

import re
from datetime import datetime
from decimal import Decimal
from functools import cache, reduce
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from shared import ids
from shared.errors import MessageFault
from shared.models import MESSAGES, Envelope, Message
from shared.money import CARRIED_EXPONENT_MAX
from shared.values import UtcTime

BODY_BYTES_MAX = 256 * 1024

_EXPONENT_DIGITS = len(str(CARRIED_EXPONENT_MAX))
_DecimalText = Annotated[
    str, msgspec.Meta(pattern=rf"\A-?[0-9]+(\.[0-9]+)?(E[+-]?[0-9]{{1,{_EXPONENT_DIGITS}}})?\Z")
]
"""A finite decimal as our encoder writes it: no JSON number (a float's noise), no NaN, no `1_000`."""

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_REPLACED = rb"\1" + "\ufffd".encode()
"""PostgreSQL keeps no NUL in a text, so no message carries one: whoever stored it would fail for ever."""


@cache
def _form(kind: Any) -> Any:
    """Return `kind` as it looks on the wire: the same shape with every Decimal as text."""
    if kind is Decimal:
        return _DecimalText
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = [
            (each.name, _form(each.type)) if each.required else (each.name, _form(each.type), None)
            for each in msgspec.structs.fields(kind)
        ]
        return msgspec.defstruct(kind.__name__, fields, frozen=True, kw_only=True)
    if get_origin(kind) is tuple:
        item, _ = get_args(kind)
        return GenericAlias(tuple, (_form(item), ...))
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, map(_form, get_args(kind)))
    return kind


_FORMS = {kind.SCHEMA: msgspec.json.Decoder(_form(kind)) for kind in MESSAGES}
_DECODERS: dict[str, msgspec.json.Decoder[Message]] = {
    kind.SCHEMA: msgspec.json.Decoder(kind) for kind in MESSAGES
}
_ENCODER = msgspec.json.Encoder(decimal_format="string")


class _Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The envelope before its payload is understood."""

    schema: str
    event_id: str
    correlation_id: str
    causation_id: str | None
    occurred_at: UtcTime
    producer: str
    payload: msgspec.Raw


_WIRE_DECODER = msgspec.json.Decoder(_Wire)


def envelop(
    payload: Message,
    *,
    correlation_id: str,
    causation_id: str | None,
    occurred_at: datetime,
    producer: str,
    discriminator: tuple[str, ...] = (),
) -> Envelope:
    """Put `payload` into an envelope whose id is a pure function of schema, story and `discriminator`."""
    return Envelope(
        schema=payload.SCHEMA,
        event_id=ids.event_id(payload.SCHEMA, correlation_id, *discriminator),
        correlation_id=correlation_id,
        causation_id=causation_id,
        occurred_at=occurred_at,
        producer=producer,
        payload=payload,
    )


def encode(envelope: Envelope) -> bytes:
    """Return the envelope as JSON bytes that every reader can decode and keep."""
    return _storable(_ENCODER.encode(envelope))


def encode_value(value: object) -> bytes:
    """Return any value of the vocabulary as JSON bytes (for jsonb columns and HTTP answers)."""
    return _storable(_ENCODER.encode(value))


def _storable(body: bytes) -> bytes:
    return _NUL.sub(_REPLACED, body) if b"\\u0000" in body else body


def decode(body: bytes) -> Envelope:
    """Return the envelope in `body`.

    Raises:
        MessageFault: too large, not JSON, unknown schema, or a field that does not fit.
    """
    if len(body) > BODY_BYTES_MAX:
        raise MessageFault(f"message of {len(body)} bytes is over the limit of {BODY_BYTES_MAX}")
    try:
        wire = _WIRE_DECODER.decode(body)
        if wire.schema not in _DECODERS:
            raise MessageFault(f"unknown message schema {wire.schema!r}")
        _FORMS[wire.schema].decode(
            wire.payload
        )  # numbers convert to Decimal silently, so text is demanded first
        payload = _DECODERS[wire.schema].decode(wire.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageFault(f"message does not fit its schema: {error}") from error
    return Envelope(
        schema=wire.schema,
        event_id=wire.event_id,
        correlation_id=wire.correlation_id,
        causation_id=wire.causation_id,
        occurred_at=wire.occurred_at,
        producer=wire.producer,
        payload=payload,
    )
