"""The body of an alert as bytes: to fields and back to a text that is safe to keep.

Pure. JSON numbers become `Decimal` without passing through a float. It must never let a secret into the kept
text.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from shared.errors import MessageFault

SECRET_FIELD = "secret"  # noqa: S105 - the name of the field
MASK = "***"
GIVEN_CHARS_MAX = 80

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation)
_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_BARE = re.compile(rb'(?<=[:,\[])(\s*)(\{\{[^{}"]*\}\}|[+-]?NaN|[+-]?Infinity)(?=\s*[,\]}])')
"""What TradingView may leave where a number belongs: an unresolved placeholder, or a chart without a value.
"""


class MalformedBody(MessageFault):
    """The body is not a JSON object."""


class AlertFault(MessageFault):
    """A field of the alert is not usable: its name, what came (None: nothing), and what to do."""

    def __init__(self, field: str, given: object, advice: str) -> None:
        self.field = field
        self.given = None if given is None else str(given)[:GIVEN_CHARS_MAX]
        self.advice = advice
        came = "is missing" if self.given is None else f"came as {self.given!r}"
        super().__init__(f"{field} {came}: {advice}")


def fields_of(body: bytes) -> dict[str, object]:
    """Return the fields of the JSON object in `body`. Bare placeholders, NaN and infinities come as strings,
    so that whoever reads the field can refuse it by name.

    Raises:
        MalformedBody: not JSON, or not an object.
    """
    try:
        return _DECODER.decode(body)
    except _UNREADABLE:
        repaired = _BARE.sub(rb'\1"\2"', body)
    try:
        return _DECODER.decode(repaired)
    except _UNREADABLE as error:
        raise MalformedBody(f"the body is not a JSON object: {error}") from None


def text_without_secrets(fields: Mapping[str, object], secrets: tuple[str, ...]) -> str:
    """Return the fields as JSON text without the secret field, every known secret masked elsewhere."""
    kept = {name: value for name, value in fields.items() if name.lower() != SECRET_FIELD}
    text = _ENCODER.encode(kept).decode()
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text
