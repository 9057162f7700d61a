"""Somebody types a symbol that is none: what they meant is offered, never chosen (U5)."""

import pytest

from shared.suggestions import did_you_mean, meant

LISTED = ("BTCUSDT", "ETHUSDT", "ETCUSDT", "XRPUSDT", "BTCDOMUSDT")


@pytest.mark.parametrize(
    ("given", "held", "first"),
    [
        ("BTC", ("ETHUSDT",), "BTCUSDT"),
        ("BTC", ("BTCUSDT", "BTCDOMUSDT"), "BTCUSDT"),
        ("BTCUSD", ("BTCUSDT",), "BTCUSDT"),
        ("ETHUSTD", ("ETHUSDT",), "ETHUSDT"),
        ("XPRUSDT", (), "XRPUSDT"),
    ],
)
def test_the_likeliest_comes_first(given: str, held: tuple[str, ...], first: str) -> None:
    assert meant(given, held, LISTED)[0] == first


def test_what_is_held_comes_before_what_is_only_listed() -> None:
    assert meant("ETUSDT", ("ETCUSDT",), LISTED)[0] == "ETCUSDT"


def test_nothing_like_it_is_nothing() -> None:
    assert meant("ZZZZ", ("BTCUSDT",), LISTED) == []
    assert did_you_mean([]) == ""
    assert did_you_mean(["BTCUSDT", "ETHUSDT"]) == "Did you mean BTCUSDT or ETHUSDT?"
