"""The wire format of every message, pinned by golden files, and everything the decoder must refuse."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal

import msgspec
import pytest

from shared import codec
from shared.errors import MessageFault
from shared.models import MESSAGES, Envelope, Message, PositionClosed, SignalReceived
from tests.contract.samples import BARE, GOLDEN, SAMPLES, SIGNAL, WHOLE, golden_text, in_envelope

CHANGED = (
    "\n{name}: the wire format of {schema} is not what the golden file says.\n"
    "Messages of the old form may be on their way or in an outbox, and older replicas refuse the new form:\n"
    "give the schema a new version and keep this one. Only while no release contains the schema may the\n"
    "file be written anew: python -m tests.contract.samples"
)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_is_encoded_exactly_as_its_golden_file_says(name: str) -> None:
    golden = (GOLDEN / name).read_text(encoding="utf-8")
    assert golden_text(SAMPLES[name]) == golden, CHANGED.format(name=name, schema=SAMPLES[name].schema)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_golden_file_is_decoded_to_the_value_it_stands_for(name: str) -> None:
    golden = (GOLDEN / name).read_bytes()
    assert codec.decode(golden) == SAMPLES[name], CHANGED.format(name=name, schema=SAMPLES[name].schema)


def test_every_message_of_the_vocabulary_has_a_golden_file_and_no_file_is_left_over() -> None:
    assert {type(each) for each in WHOLE} == set(MESSAGES)
    assert {path.name for path in GOLDEN.iterdir()} == set(SAMPLES)


def test_the_whole_samples_leave_no_optional_part_out() -> None:
    gaps = [
        f"{type(each).__name__}.{path}" for each in WHOLE for path, value in _parts(each) if value is None
    ]
    assert gaps == []


def test_every_message_that_has_optional_parts_is_sampled_without_them() -> None:
    with_gaps = {type(each) for each in BARE for _, value in _parts(each) if value is None}
    assert with_gaps == {kind for kind in MESSAGES if _may_have_gaps(kind)}


def test_schemas_are_unique_and_carry_their_version() -> None:
    schemas = [kind.SCHEMA for kind in MESSAGES]
    assert len(set(schemas)) == len(schemas)
    assert all(schema.rsplit(".v", 1)[1].isdigit() for schema in schemas)


def test_the_result_of_a_trade_counts_fees_and_paid_funding_against_us() -> None:
    closed = next(each for each in WHOLE if isinstance(each, PositionClosed))
    assert closed.net_pnl_usdt == Decimal("199.4975") - Decimal("8.06") - Decimal("0.99")


MONEY = ("payload", "signal", "price")

REFUSED_MONEY = {
    "a JSON number": 50123.4,
    "a float's noise": 0.1 + 0.2,
    "a JSON integer": 50123,
    "not a number": "NaN",
    "a signalling NaN": "sNaN",
    "infinity": "-Infinity",
    "underscores": "50_123",
    "blanks": " 50123",
    "a trailing newline": "50123\n",
    "other digits": "٥٠١٢٣",
    "an absurd exponent": "1E+999999",
    "nothing": "",
    "true": True,
}


@pytest.mark.parametrize("value", REFUSED_MONEY.values(), ids=REFUSED_MONEY.keys())
def test_money_that_is_not_a_plain_decimal_string_is_refused(value: object) -> None:
    with pytest.raises(MessageFault, match=r"signal\.price"):
        codec.decode(_altered(MONEY, value))


@pytest.mark.parametrize(
    "text", ["50123.4", "-0.00000001", "1E-8", "0E-8", "1E+3", "12345678901234567890.12345678"]
)
def test_every_form_of_decimal_that_our_encoder_writes_is_read_back(text: str) -> None:
    decoded = codec.decode(_altered(MONEY, text)).payload
    assert isinstance(decoded, SignalReceived)
    assert decoded.signal.price == Decimal(text)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "-sNaN", "Infinity", "-Infinity", "1E+999", "-0.1E-100"])
def test_money_that_is_not_finite_is_refused_even_as_our_encoder_writes_it(text: str) -> None:
    broken = msgspec.structs.replace(SIGNAL, price=Decimal(text))
    with pytest.raises(MessageFault, match=r"\$\.signal\.price"):
        codec.decode(codec.encode(in_envelope(SignalReceived(signal=broken))))


def test_money_that_reached_a_message_as_a_float_is_refused_by_the_receiver() -> None:
    broken = msgspec.structs.replace(SIGNAL, price=0.1 + 0.2)
    with pytest.raises(MessageFault):
        codec.decode(codec.encode(in_envelope(SignalReceived(signal=broken))))


ODD_BODIES: dict[str, Callable[[], bytes]] = {
    "an unknown field in the payload": lambda: _altered(("payload", "colour"), "red"),
    "an unknown field inside a value": lambda: _altered(("payload", "signal", "colour"), "red"),
    "an unknown field in the envelope": lambda: _altered(("colour",), "red"),
    "a naive time in the payload": lambda: _altered(
        ("payload", "signal", "received_at"), "2026-03-02T14:30:00"
    ),
    "a naive time in the envelope": lambda: _altered(("occurred_at",), "2026-03-02T14:30:00"),
    "a time as a number": lambda: _altered(("occurred_at",), 1772461800),
    "an unknown schema": lambda: _altered(("schema",), "signal.received.v2"),
    "the schema of another message": lambda: _altered(("schema",), "trade.approved.v1"),
    "an unknown enum member": lambda: _altered(("payload", "signal", "action"), "hold"),
    "a required field missing": lambda: _altered(("payload", "signal", "symbol"), None, remove=True),
    "null for a required field": lambda: _altered(("payload", "signal", "symbol"), None),
    "a fraction for a count": lambda: _altered(("payload", "signal", "dedupe_window_s"), 60.5),
    "no JSON": lambda: b"signal",
    "nothing": lambda: b"",
    "half a message": lambda: codec.encode(in_envelope(WHOLE[0]))[:-5],
    "bytes that are not UTF-8": lambda: b'{"schema":"\xff\xfe"}',
    "a list": lambda: b"[]",
    "brackets nested beyond the stack": lambda: b"[" * 100_000 + b"]" * 100_000,
    "a payload nested beyond the stack": lambda: _body(b'{"signal":' * 20_000 + b"}" * 20_000),
}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES.keys())
def test_a_body_that_does_not_fit_is_a_message_fault_and_nothing_else(body: Callable[[], bytes]) -> None:
    with pytest.raises(MessageFault):
        codec.decode(body())


def test_a_body_over_the_limit_is_refused_before_it_is_parsed() -> None:
    body = codec.encode(
        in_envelope(SignalReceived(signal=msgspec.structs.replace(SIGNAL, alert_text="x" * 300_000)))
    )
    with pytest.raises(MessageFault, match="over the limit of 262144"):
        codec.decode(body)


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    decoded = codec.decode(_altered(("occurred_at",), "2026-03-02T23:30:00.133+09:00"))
    assert decoded == SAMPLES["signal.received.v1.json"]


def test_the_same_story_gives_the_same_event_id_and_a_discriminator_another() -> None:
    first, second = in_envelope(WHOLE[0]), in_envelope(WHOLE[0])
    other = codec.envelop(
        WHOLE[0],
        correlation_id=first.correlation_id,
        causation_id=None,
        occurred_at=first.occurred_at,
        producer="sample",
        discriminator=("2",),
    )
    assert first.event_id == second.event_id != other.event_id


def _altered(path: tuple[str, ...], value: object, *, remove: bool = False) -> bytes:
    """Return the golden signal.received with one field changed, added or removed."""
    whole = json.loads((GOLDEN / "signal.received.v1.json").read_text(encoding="utf-8"))
    inner = whole
    for step in path[:-1]:
        inner = inner[step]
    if remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return json.dumps(whole).encode()


def _body(payload: bytes) -> bytes:
    return (
        b'{"schema":"signal.received.v1","event_id":"e","correlation_id":"c","causation_id":null,'
        b'"occurred_at":"2026-03-02T14:30:00Z","producer":"p","payload":' + payload + b"}"
    )


def _parts(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _parts(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _parts(item, f"{path}[{number}]")
    else:
        yield path, value


def _may_have_gaps(kind: type[Message] | type[Envelope]) -> bool:
    return '"null"' in json.dumps(msgspec.json.schema(kind))
