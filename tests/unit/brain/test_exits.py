"""An exit needs a symbol and a proof, nothing else (P9): what else is wrong with it is dropped, and said."""

import json
from datetime import UTC, datetime

import pytest

from services.brain.alert_body import DEPTH_MAX, AlertFault, MalformedBody, fields_of
from services.brain.alerts import signal_from
from shared.values import Action, Signal
from tests.unit.brain.builders import NOON, SECRET, receipt

EXIT = '"symbol": "BTCUSDT", "action": "close"'


def read(body: str | bytes) -> Signal:
    return signal_from(fields_of(body if isinstance(body, bytes) else body.encode()), receipt())


def told(signal: Signal) -> str:
    return " | ".join(signal.dropped) if signal.dropped else ""


UNFIT: dict[str, str] = {
    "rsi": "NaN",
    "macd": "-Infinity",
    "price": "1e999",
    "close": '"1,234.5"',
    "volume": "-5",
    "confidence": "7",
    "strategy": json.dumps("x" * 500),
    "strategy_id": '["a"]',
    "timenow": '"yesterday"',
    "alert_time": '"0001-01-01T00:00:00+14:00"',
    "alert_id": '"a\\u0000b"',
    "order_id": '{"nested": [1]}',
    "contracts": "true",
    "market_position": '"sideways"',
    "prev_market_position": "5",
    "side": '"{{strategy.order.action}}"',
    "ticker": '"{{ticker}}"',
}


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_field_of_an_exit_is_dropped_and_said(name: str) -> None:
    signal = read(f'{{{EXIT}, "{name}": {UNFIT[name]}}}')
    assert (signal.symbol, signal.action) == ("BTCUSDT", Action.EXIT)
    assert f"{name} came as" in told(signal)


def test_everything_unfit_at_once_still_closes() -> None:
    signal = read("{" + ", ".join([EXIT, *(f'"{name}": {value}' for name, value in UNFIT.items())]) + "}")
    assert signal.action is Action.EXIT
    assert (signal.price, signal.rsi, signal.alert_time, signal.strategy) == (None, None, None, "tradingview")
    assert signal.dropped
    assert len(signal.dropped) >= 12


def test_whole_exit_says_nothing_of_dropped_fields() -> None:
    assert not read(f'{{{EXIT}, "rsi": 45, "unknown": {{"deep": [1]}}}}').dropped


@pytest.mark.parametrize(
    "body",
    [
        '{"ticker": "BTCUSDT.P", "market_position": "flat", "action": "{{strategy.order.action}}"}',
        '{"symbol": "{{symbol}}", "ticker": "BTCUSDT", "action": "hodl", "side": "close"}',
        '{"Symbol": "BTCUSDT", " ACTION ": "Close Position"}',
        '{"symbol": "btcusdt", "action": "close_position"}',
        '{"symbol": "BTCUSDT", "action": "sell", "action": "close"}',
        '{"symbol": "BTCUSDT", "action": "close", "action": "sell"}',
        '{"symbol": "BTCUSDT", "symbol": "BINANCE:BTCUSDT.P", "action": "exit"}',
        '{"symbol": "BTCUSDT", "action": "close", "market_position": "long"}',
        '\ufeff{"symbol": "BTCUSDT", "action": "FLATTEN"}',
    ],
)
def test_any_word_that_says_exit_in_any_of_its_places_closes(body: str) -> None:
    signal = read(body)
    assert (signal.symbol, signal.action) == ("BTCUSDT", Action.EXIT)


@pytest.mark.parametrize(
    "body",
    [
        f"{{{EXIT},}}",
        f'{{{EXIT}, "comment": "he said "stop""}}',
        f'{{{EXIT}, "comment": "two\nlines"}}',
        '{"symbol": BTCUSDT, "action": close, "price": 1,234.5}',
        "{'symbol': 'BTCUSDT', 'action': 'close', 'on': None}",
        "{“symbol”: “BTCUSDT”, “action”: “close”}",
        f'{{{EXIT}, "n": ' + "[" * 5_000 + "]" * 5_000 + "}",
        f'{{{EXIT}, "n": 1e99999999999999999999}}',
        f'{{{EXIT}, "n": {"9" * 6_000}}}',
        f'{{{EXIT}, "n": "\\ud800"}}',
        f"[{{{EXIT}}}]",
        f'{{{EXIT}, "n": tru',
        "symbol=BTCUSDT action=close",
        "action: close; symbol: BINANCE:BTCUSDT.P",
        "symbol=BTCUSDT&action=close&x=1",
        "{symbol: BTCUSDT, action: close}",
        f"Exit now! {{{EXIT}}}",
        f"```json\n{{{EXIT}}}\n```",
        f"\ufeff\ufeff{{{EXIT}}}",
        f" \ufeff{{{EXIT}}}",
    ],
)
def test_exit_is_found_in_what_is_not_json(body: str) -> None:
    signal = read(body)
    assert (signal.symbol, signal.action) == ("BTCUSDT", Action.EXIT)
    assert "not a JSON object" in told(signal)
    assert json.loads(signal.alert_text)["symbol"]


@pytest.mark.parametrize(
    "body",
    [
        '{"symbol": "BTCUSDT", "action": "buy",}',
        "symbol=BTCUSDT action=buy",
        '{"symbol": "BTCUSDT", "comment": "then \\"action\\": \\"close\\" it",}',
        '{"symbol": "BTCUSDT", "comment": "action: close",}',
        '{"comment": "then symbol: BTCUSDT, action: close it",}',
        '{"action": "close", "symbol": "BTCUSD',
        '{"comment": "close BTCUSDT"',
        "close BTCUSDT",
        "\xff\xfe",
    ],
)
def test_nothing_but_a_sure_exit_is_made_of_what_is_not_json(body: str) -> None:
    with pytest.raises((MalformedBody, AlertFault)):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"symbol": "BTCUSDT", "symbol": "ETHUSDT", "action": "close"}',
        '{"symbol": "BTCUSDT", "symbol": "ETHUSDT", "action": "close",}',
        '{"symbol": "*", "action": "close"}',
        '{"symbol": "BTC\\u0000USDT", "action": "close"}',
        '{"action": "close"}',
    ],
)
def test_exit_without_one_symbol_is_refused_by_that_name(body: str) -> None:
    with pytest.raises(AlertFault) as caught:
        read(body)
    assert caught.value.field == "symbol"


@pytest.mark.parametrize("name", ["action", "price", "symbol"])
def test_entry_that_says_two_things_is_refused(name: str) -> None:
    values = {"action": '"sell"', "price": "5", "symbol": '"ETHUSDT"'}
    with pytest.raises(AlertFault) as caught:
        read(f'{{"symbol": "BTCUSDT", "action": "buy", "price": 6, "{name}": {values[name]}}}')
    assert caught.value.field == name
    assert "more than once" in caught.value.advice


def test_entry_that_says_the_same_twice_is_taken() -> None:
    assert read('{"symbol": "BTCUSDT", "action": "buy", "action": "buy"}').action is Action.LONG


def test_exit_that_names_a_side_is_refused_because_it_would_close_the_other_as_well() -> None:
    with pytest.raises(AlertFault) as caught:
        read('{"symbol": "BTCUSDT", "action": "close_long"}')
    assert caught.value.field == "action"


@pytest.mark.parametrize("comment", ["x, NaN, y", "x: {{plot}}, y", "[-Infinity]", '"symbol": NaN,'])
@pytest.mark.parametrize("more", ['"extra": {"a": 1}', EXIT, '"Symbol": "BTCUSDT"', '"rsi": NaN'])
def test_what_looks_like_a_bare_word_in_a_comment_is_a_comment(comment: str, more: str) -> None:
    signal = read(f'{{{EXIT}, {more}, "comment": {json.dumps(comment)}}}')
    assert (signal.symbol, signal.action) == ("BTCUSDT", Action.EXIT)


@pytest.mark.parametrize("mark", ["\ufeff", "\u200b", "\u2060", "\xa0", " \u200e "])
def test_marks_that_nobody_sees_do_not_hold_up_an_exit(mark: str) -> None:
    signal = read(f'{{"symbol": "{mark}BTCUSDT{mark}", "action": "{mark}close{mark}"}}')
    assert (signal.symbol, signal.action) == ("BTCUSDT", Action.EXIT)


@pytest.mark.parametrize("padding", range(0, 90, 7))
@pytest.mark.parametrize("form", ["{}", '"{}"', '["{}"]', '{{"a": ["{}"]}}', '"1", "rsi": "{}"'])
def test_no_part_of_a_secret_is_in_a_note(padding: int, form: str) -> None:
    signal = read(f'{{{EXIT}, "rsi": {form.format("x" * padding + SECRET)}}}')
    assert SECRET[:6] not in told(signal)


def test_secret_in_another_field_is_not_kept() -> None:
    signal = read(f'{{{EXIT}, "strategy": "a {SECRET}", "alert_id": "{SECRET}"}}')
    assert SECRET not in repr(signal)


def test_secret_is_in_no_note() -> None:
    signal = read(f'{{{EXIT}, "rsi": "{SECRET}", "price": "{SECRET}"}}')
    assert "***" in told(signal)
    assert SECRET not in told(signal)


@pytest.mark.parametrize("depth", [DEPTH_MAX - 1, DEPTH_MAX, 900, 4_000])
def test_how_deep_a_body_may_be_nested_does_not_depend_on_the_interpreter(depth: int) -> None:
    entry = '{"symbol": "BTCUSDT", "action": "buy", "n": ' + "[" * depth + "]" * depth + "}"
    if depth < DEPTH_MAX:
        assert read(entry).action is Action.LONG
        return
    with pytest.raises(MalformedBody, match="nested"):
        read(entry)


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert read('{"symbol": "BTCUSDT", "action": "buy", "n": "' + "[" * 500 + '"}').action is Action.LONG


def test_time_of_an_alert_is_kept_in_one_zone() -> None:
    signal = read(f'{{{EXIT}, "timenow": "2026-01-31T21:00:00+09:00"}}')
    assert signal.alert_time == NOON == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert str(signal.alert_time).endswith("+00:00")
