"""The body of an alert as bytes: to fields and back to a text that is safe to keep.

Pure. JSON numbers become `Decimal` without passing through a float. What is not JSON is searched for the few
names that an exit needs, so that a stray quote in a comment does not keep a position open; an entry is never
made of such a find. It must never let a secret into the kept text, and never depend on the interpreter.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation

import msgspec

from shared.errors import MessageFault

SECRET_FIELD = "secret"  # noqa: S105 - the name of the field
MASK = "***"
GIVEN_CHARS_MAX = 80
DEPTH_MAX = 32
"""How deep the values of an alert may be nested; where the parser itself gives up differs between Pythons."""
FINDS_MAX = 64
"""So many pairs are looked at in a body that is not JSON."""

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation)
_DECODER = msgspec.json.Decoder(dict[str, object], float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_BOM = b"\xef\xbb\xbf"
_BARE = re.compile(rb'(?<=[:,\[])(\s*)(\{\{[^{}"]*\}\}|[+-]?NaN|[+-]?Infinity)(?=\s*[,\]}])')
"""What TradingView may leave where a number belongs: an unresolved placeholder, or a chart without a value.
"""
_KEY = re.compile(rb'"\s*:')
_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"?|[][{}]', re.DOTALL)

_SOUGHT = (
    "secret|symbol|ticker|action|side|order_action|market_position|strategy|strategy_id|timenow|alert_time"
    "|alert_id"
)
_VALUE = r'(?:"(?P<text>[^"\\\r\n]*)"|\'(?P<quoted>[^\'\\\r\n]*)\'|(?P<bare>[^\s"\',;&{}\[\]]+))'
_QUOTES = str.maketrans(dict.fromkeys("“”„‟", '"') | dict.fromkeys("‘’‚‛", "'"))
"""What a word processor makes of quotation marks."""
_BEFORE_OBJECT = " \t\r\n\xa0\ufeff"
_IN_OBJECT = re.compile(rf'(?<!\\)["\']\s*(?P<name>{_SOUGHT})\s*["\']\s*:\s*{_VALUE}', re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?<![\w\"'.-])(?P<name>{_SOUGHT})\s*[:=]\s*{_VALUE}", re.IGNORECASE)


class MalformedBody(MessageFault):
    """The body is not a JSON object."""


class AlertFault(MessageFault):
    """A field of the alert is not usable: its name, what came (None: nothing), and what to do."""

    def __init__(self, field: str, given: object, advice: str) -> None:
        self.field = field
        self.given = None if given is None else _shown(given)
        self.advice = advice
        came = "is missing" if self.given is None else f"came as {self.given!r}"
        super().__init__(f"{field} {came}: {advice}")


@dataclass(frozen=True, kw_only=True)
class AlertFields:
    """What an alert says, by lower-case name."""

    named: Mapping[str, object]
    sent: Mapping[str, object]
    """The same as it was spelt."""
    repeated: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    """The values of each name that came more than once with different ones."""
    fault: str | None = None
    """Why the body is no JSON object; `named` is then what was found in it."""


def fields_of(body: bytes) -> AlertFields:
    """Return the fields of the JSON object in `body`. Bare placeholders, NaN and infinities come as strings,
    so that whoever reads the field can refuse it by name.

    Raises:
        MalformedBody: not a JSON object, and nothing in it that an exit could be read from.
    """
    body = body.removeprefix(_BOM)
    try:
        sent = _decoded(body)
    except _UNREADABLE as error:
        return _found(body, f"the body is not a JSON object: {error}")
    named = {name.strip().lower(): value for name, value in sent.items()}
    return AlertFields(named=named, sent=sent, repeated=_repeated(body, sent))


def without_secrets(fields: AlertFields, secrets: tuple[str, ...]) -> AlertFields:
    """Return the fields with every known secret masked in their values, before anything is cut off or kept.

    The proof is not to be had from them any more.
    """
    return replace(
        fields,
        named=_masked_values(fields.named, secrets),
        repeated={
            name: tuple(_masked_in(value, secrets) for value in values)
            for name, values in fields.repeated.items()
        },
    )


def text_without_secrets(fields: Mapping[str, object], secrets: tuple[str, ...]) -> str:
    """Return the fields as JSON text without the secret field, every known secret masked elsewhere."""
    kept = {name: value for name, value in fields.items() if name.strip().lower() != SECRET_FIELD}
    return masked(_ENCODER.encode(kept).decode(), secrets)


def masked(text: str, secrets: tuple[str, ...]) -> str:
    """Return `text` with every known secret masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _masked_values(values: Mapping[str, object], secrets: tuple[str, ...]) -> dict[str, object]:
    return {name: _masked_in(value, secrets) for name, value in values.items()}


def _masked_in(value: object, secrets: tuple[str, ...]) -> object:
    if isinstance(value, str):
        return masked(value, secrets)
    if isinstance(value, dict):
        return {masked(name, secrets): _masked_in(each, secrets) for name, each in value.items()}
    if isinstance(value, list):  # `_Pairs` too
        return [_masked_in(each, secrets) for each in value]
    if isinstance(value, tuple):
        return tuple(_masked_in(each, secrets) for each in value)
    return value


def _decoded(body: bytes) -> dict[str, object]:
    if _is_too_deep(body):
        raise msgspec.DecodeError(f"its values are nested more than {DEPTH_MAX} deep")
    try:
        return _DECODER.decode(body)
    except _UNREADABLE:
        return _DECODER.decode(_BARE.sub(rb'\1"\2"', body))


def _is_too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for token in _BRACKET.finditer(body):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token.group(), 0)
        if depth > DEPTH_MAX:
            return True
    return False


def _repeated(body: bytes, sent: Mapping[str, object]) -> Mapping[str, tuple[object, ...]]:
    """Return what a parser that keeps the last of several equal names has passed over."""
    if len(_KEY.findall(body)) == len(sent) == len({name.strip().lower() for name in sent}):
        return {}
    try:
        pairs = _pairs(body)
    except ValueError:  # not the repaired text first: what looks like a bare word may stand in a comment
        pairs = _pairs(_BARE.sub(rb'\1"\2"', body))
    return _several(pairs)


def _pairs(body: bytes) -> "_Pairs":
    found = json.loads(
        body, object_pairs_hook=_Pairs, parse_int=str, parse_float=str, parse_constant=_no_number
    )
    assert isinstance(found, _Pairs), "it was decoded as an object before"
    return found


def _no_number(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


class _Pairs(list[tuple[str, object]]):
    """The names and values of an object in their order; inside of a value, they only need to be equal."""


def _several(pairs: Iterable[tuple[str, object]]) -> Mapping[str, tuple[object, ...]]:
    values: dict[str, list[object]] = {}
    for name, value in pairs:
        came = values.setdefault(name.strip().lower(), [])
        if value not in came:
            came.append(value)
    return {name: tuple(came) for name, came in values.items() if len(came) > 1}


def _found(body: bytes, fault: str) -> AlertFields:
    text = body.decode(errors="replace").translate(_QUOTES)
    is_object = text.lstrip(_BEFORE_OBJECT).startswith(("{", "["))
    patterns: tuple[re.Pattern[str], ...] = (_IN_TEXT, _IN_OBJECT)
    if is_object:  # names without quotation marks count where none have them: else they stand in a text
        patterns = (_IN_OBJECT,) if _KEY.search(body) else (_IN_OBJECT, _IN_TEXT)
    pairs = next(filter(None, (_finds(pattern, text) for pattern in patterns)), None)
    if pairs is None:
        raise MalformedBody(fault)
    named = dict(pairs)
    return AlertFields(named=named, sent=named, repeated=_several(pairs), fault=fault)


def _finds(pattern: re.Pattern[str], text: str) -> list[tuple[str, str]]:
    return [
        (found["name"].lower(), found["text"] or found["quoted"] or found["bare"] or "")
        for found, _ in zip(pattern.finditer(text), range(FINDS_MAX), strict=False)
    ]


def _shown(given: object) -> str:
    return str(given)[:GIVEN_CHARS_MAX]
