"""What users send becomes a signal, or is refused with the field, what came and what to do."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from services.brain.alert_body import AlertFault, MalformedBody, fields_of
from services.brain.alerts import signal_from
from shared.values import Action, Signal
from tests.unit.brain.builders import API_KEY, NOON, SECRET, receipt

ENTRY: dict[str, object] = {"secret": SECRET, "symbol": "BTCUSDT", "action": "buy"}


def read(changes: dict[str, object] | None = None, **circumstances: object) -> Signal:
    body = json.dumps(ENTRY | (changes or {})).encode()
    return signal_from(fields_of(body), receipt(**circumstances))


def refused(changes: dict[str, object]) -> AlertFault:
    with pytest.raises(AlertFault) as caught:
        read(changes)
    return caught.value


@pytest.mark.parametrize(
    "sent", ["BINANCE:BTCUSDT.P", "BTCUSDT.P", "BTCUSDTPERP", "btcusdt", " BTCUSDT ", "BINANCE:BTCUSDTPERP"]
)
def test_every_spelling_of_a_symbol_means_the_same_market(sent: str) -> None:
    assert read({"symbol": sent}).symbol == "BTCUSDT"


@pytest.mark.parametrize("sent", ["BTCUSD", "BTC/EUR", "USDT", "BTCUSDT.X", "ＢＴＣUSDT", "A" * 200 + "USDT"])
def test_what_is_no_usdt_market_is_refused(sent: str) -> None:
    assert refused({"symbol": sent}).field == "symbol"


def test_entry_in_a_market_that_is_not_listed_is_refused() -> None:
    fault = refused({"symbol": "DOGEUSDT"})
    assert fault.field == "symbol"
    assert "DOGEUSDT" in str(fault)


def test_exit_from_a_market_that_is_not_listed_any_more_is_taken() -> None:
    assert read({"symbol": "DOGEUSDT", "action": "close"}).action is Action.EXIT


def test_any_market_is_taken_before_the_list_is_known() -> None:
    assert read({"symbol": "DOGEUSDT"}, known_symbols=frozenset()).symbol == "DOGEUSDT"


@pytest.mark.parametrize(
    ("word", "action"),
    [
        ("buy", Action.LONG),
        ("LONG", Action.LONG),
        ("sell", Action.SHORT),
        ("short", Action.SHORT),
        ("close", Action.EXIT),
        ("exit", Action.EXIT),
        ("flat", Action.EXIT),
    ],
)
def test_action_words(word: str, action: Action) -> None:
    assert read({"action": word}).action is action


@pytest.mark.parametrize(
    ("order", "position", "previous", "action"),
    [
        ("buy", "long", "flat", Action.LONG),
        ("sell", "short", "flat", Action.SHORT),
        ("sell", "flat", "long", Action.EXIT),
        ("buy", "flat", "short", Action.EXIT),
        ("sell", "short", "long", Action.SHORT),  # a reversal: one order over the old and the new size
        ("buy", "long", "long", Action.LONG),
        ("close", "long", "long", Action.EXIT),
        (None, "long", None, Action.LONG),
        (None, "flat", "long", Action.EXIT),
    ],
)
def test_position_of_the_strategy_decides(
    order: str | None, position: str, previous: str | None, action: Action
) -> None:
    sent: dict[str, object] = {"action": order, "market_position": position, "prev_market_position": previous}
    assert read(sent).action is action


def test_partial_reduction_opens_nothing() -> None:
    fault = refused({"action": "sell", "market_position": "long", "prev_market_position": "long"})
    assert fault.field == "action"
    assert "reduces" in fault.advice


def test_contradiction_of_order_and_position_is_refused() -> None:
    assert "contradicts" in refused({"action": "sell", "market_position": "long"}).advice


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "NaN"),
        ("price", "Infinity"),
        ("price", -1),
        ("price", 0),
        ("price", "0.000000001"),
        ("price", "1e12"),
        ("price", "1,000"),
        ("price", True),
        ("price", [1]),
        ("close", "-5"),
        ("confidence", 7),
        ("confidence", "-0.1"),
        ("rsi", 101),
        ("rsi", "NaN"),
        ("macd", "one"),
        ("volume", -1),
        ("action", "hodl"),
        ("action", "{{strategy.order.action}}"),
        ("price", "{{close}}"),
        ("market_position", "sideways"),
        ("timenow", "yesterday"),
        ("timenow", "2026-01-31T12:00:00"),
        ("alert_id", "x" * 129),
        ("alert_id", "a\u0000b"),
        ("strategy", {"name": "nested"}),
    ],
)
def test_unfit_value_is_refused_by_name_with_what_came_and_what_to_do(field: str, value: object) -> None:
    fault = refused({field: value})
    assert fault.field == field
    assert fault.given
    assert fault.advice


@pytest.mark.parametrize(
    ("body", "field"), [(b"NaN", "price"), (b"{{close}}", "price"), (b"-Infinity", "price")]
)
def test_bare_word_where_a_number_belongs_is_refused_by_field(body: bytes, field: str) -> None:
    text = b'{"symbol": "BTCUSDT", "action": "buy", "price": ' + body + b', "plot_0": NaN}'
    with pytest.raises(AlertFault) as caught:
        signal_from(fields_of(text), receipt())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body",
    [b"", b"[1]", b"buy BTC", b"\xff\xfe", b'{"a":', b"[" * 15_000, b'{"a":1e99999999999999999999}', b"null"],
)
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        fields_of(body)


def test_deep_nesting_is_malformed_and_not_a_crash() -> None:
    with pytest.raises(MalformedBody):
        fields_of(b'{"a":' + b"[" * 9000 + b"]" * 9000 + b"}")


@pytest.mark.parametrize("price", [b"50000.123456789012345", b'"50000.123456789012345"'])
def test_numbers_and_strings_become_exact_decimals(price: bytes) -> None:
    fields = fields_of(b'{"symbol":"BTCUSDT","action":"buy","price":' + price + b"}")
    assert signal_from(fields, receipt()).price == Decimal("50000.123456789012345")


def test_missing_values_get_their_defaults() -> None:
    signal = read({"price": "", "rsi": None})
    assert (signal.strategy, signal.confidence) == ("tradingview", Decimal("0.8"))
    assert (signal.price, signal.rsi, signal.alert_time) == (None, None, None)


def test_missing_symbol_and_action_are_named() -> None:
    assert refused({"symbol": None}).field == "symbol"
    assert refused({"action": None}).field == "action"


def test_opening_time_of_the_bar_is_not_the_alert_time() -> None:
    assert read({"time": "2026-01-30T00:00:00Z"}).alert_time is None
    moment = datetime(2026, 1, 31, 11, 59, 58, tzinfo=UTC)
    assert read({"timenow": "2026-01-31T11:59:58Z"}).alert_time == moment


def test_unknown_fields_are_kept_in_the_text() -> None:
    signal = read({"comment": "TP1", "interval": "5", "plot_7": 1.5})
    kept = json.loads(signal.alert_text)
    assert (kept["comment"], kept["interval"], kept["plot_7"]) == ("TP1", "5", 1.5)


def test_no_secret_stays_in_the_text_wherever_it_was_written() -> None:
    signal = read({"Secret": SECRET, "comment": f"key {SECRET} {API_KEY}", "nested": {"a": SECRET}})
    assert SECRET not in signal.alert_text
    assert API_KEY not in signal.alert_text
    assert "secret" not in signal.alert_text.lower()


def test_alert_id_alone_makes_two_alerts_the_same() -> None:
    first = read({"alert_id": "a-1", "price": 50000})
    again = read({"alert_id": "a-1", "price": 50001}, received_at=NOON + timedelta(days=3))
    assert first.signal_id == again.signal_id
    assert first.dedupe_window_s is None
    assert first.signal_id != read({"alert_id": "a-1", "strategy": "other"}).signal_id


def test_order_at_a_time_is_the_same_alert_for_ever() -> None:
    order: dict[str, object] = {"order_id": "Long", "contracts": "0.5", "timenow": "2026-01-31T12:00:00Z"}
    first = read(order)
    assert first.dedupe_window_s is None
    assert read(order | {"comment": "resent"}).signal_id == first.signal_id
    assert read(order | {"timenow": "2026-01-31T13:00:00+01:00"}).signal_id == first.signal_id
    for change in (
        {"contracts": "1"},
        {"action": "sell"},
        {"order_id": "L2"},
        {"timenow": "2026-01-31T12:00:01Z"},
    ):
        assert read(order | change).signal_id != first.signal_id


def test_order_name_without_a_time_is_the_same_alert_only_for_a_while() -> None:
    first = read({"order_id": "Long"})
    assert first.dedupe_window_s == 60
    assert first.dedupe_key == read({"order_id": "Long", "comment": "x"}).dedupe_key


def test_equal_bodies_share_a_key_for_a_window_and_differ_in_id() -> None:
    first = read(received_at=NOON)
    again = read(received_at=NOON + timedelta(seconds=5))
    assert first.dedupe_key == again.dedupe_key
    assert first.signal_id != again.signal_id
    assert first.dedupe_window_s == 60
    assert read({"comment": "another"}).dedupe_key != first.dedupe_key
    assert read(instance="brain-1").signal_id != first.signal_id
