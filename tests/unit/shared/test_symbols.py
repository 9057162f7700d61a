"""A symbol is judged by lists, never by its shape: one reader of every spelling, for every entry point."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.symbols import SYMBOL_CHARS_MAX, NoSymbol, could_be, symbol_of, why_not_traded

LISTED = frozenset(
    {"BTCUSDT", "WUSDT", "1000PEPEUSDT", "币安人生USDT", "BTCUSDT_260327", "aBUSDT", "PERPUSDT"}
)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("BTCUSDT", "BTCUSDT"),
        (" btcusdt\n", "BTCUSDT"),
        ("BINANCE:BTCUSDT.P", "BTCUSDT"),
        ("BINANCE:BTCUSDTPERP", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("btc-usdt", "BTCUSDT"),
        ("WUSDT", "WUSDT"),
        ("BINANCE:WUSDT.P", "WUSDT"),
        ("1000pepeusdt.p", "1000PEPEUSDT"),
        ("币安人生USDT.P", "币安人生USDT"),
        ("币安人生usdt", "币安人生USDT"),
        ("PERPUSDT", "PERPUSDT"),
        ("PERPUSDT.P", "PERPUSDT"),
        ("BTCUSDT_260327", "BTCUSDT_260327"),
        ("aBUSDT", "aBUSDT"),
    ],
)
def test_every_spelling_means_one_market(sent: str, meant: str) -> None:
    assert symbol_of(sent, LISTED) == meant
    if meant.isupper():
        assert symbol_of(sent) == meant


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "  ",
        "*",
        "a b",
        "BTC\0USDT",
        "BTC\nUSDT",
        "\ud800USDT",
        "x" * 41,
        "x" * 10**6,
        "{{ticker}}",
        "A,B",
    ],
)
def test_what_could_be_no_market_is_refused(sent: str) -> None:
    with pytest.raises(NoSymbol):
        symbol_of(sent, LISTED)


@pytest.mark.parametrize(
    ("symbol", "word"),
    [("BTCUSDT_260327", "delivery"), ("BTCUSDC", "quoted in USDT"), ("GONEUSDT", "does not list")],
)
def test_what_is_not_traded_is_said_by_name(symbol: str, word: str) -> None:
    assert word in why_not_traded(symbol)


@given(st.text(max_size=60))
def test_any_text_is_one_name_or_none_and_reading_it_again_changes_nothing(text: str) -> None:
    try:
        symbol = symbol_of(text)
    except NoSymbol:
        return
    assert could_be(symbol)
    assert len(symbol) <= SYMBOL_CHARS_MAX
    assert symbol_of(symbol, {symbol}) == symbol
