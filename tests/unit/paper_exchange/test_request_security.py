"""Signatures, keys, request time and limits."""

import pytest

from infrastructure.paper_exchange import auth
from infrastructure.paper_exchange.errors import ApiError
from infrastructure.paper_exchange.limits import Limits, Window

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
PAYLOAD = (
    "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
    "&recvWindow=5000&timestamp=1591702613943"
)
SIGNATURE = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
NOW_MS = 1_591_702_613_943


def test_the_documented_signature() -> None:
    assert auth.sign(SECRET, PAYLOAD) == SIGNATURE


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{PAYLOAD}&signature={SIGNATURE}", ""),
        ("", f"{PAYLOAD}&signature={SIGNATURE}"),
        ("", f"{PAYLOAD}&signature={SIGNATURE.upper()}"),
    ],
    ids=["in the query", "in the body", "in capitals"],
)
def test_a_signature_is_accepted_wherever_it_stands(query: str, body: str) -> None:
    auth.check_signature(SECRET, query, body, auth.parse(query, body))


def test_query_and_body_are_signed_one_after_the_other_without_an_ampersand() -> None:
    query, body = "symbol=BTCUSDT&side=BUY", "quantity=1&timestamp=1"
    signature = auth.sign(SECRET, "symbol=BTCUSDT&side=BUYquantity=1&timestamp=1")
    signed = f"{body}&signature={signature}"
    auth.check_signature(SECRET, query, signed, auth.parse(query, signed))


def test_percent_encoding_is_signed_as_it_was_sent() -> None:
    query = "newClientOrderId=a%3Ab&timestamp=1"
    signed = f"{query}&signature={auth.sign(SECRET, query)}"
    params = auth.parse(signed, "")
    auth.check_signature(SECRET, signed, "", params)
    assert params["newClientOrderId"] == "a:b"


def test_the_query_wins_over_the_body() -> None:
    assert auth.parse("a=1", "a=2&b=3") == {"a": "1", "b": "3"}


@pytest.mark.parametrize(("query", "code"), [(f"{PAYLOAD}&signature=00", -1022), (PAYLOAD, -1102)])
def test_wrong_and_missing_signatures(query: str, code: int) -> None:
    with pytest.raises(ApiError, match=str(code)):
        auth.check_signature(SECRET, query, "", auth.parse(query, ""))


@pytest.mark.parametrize(
    ("sent", "code"), [(None, -2014), ("", -2014), ("other", -2015), ("schlüssel", -2015)]
)
def test_keys(sent: str | None, code: int) -> None:
    with pytest.raises(ApiError, match=str(code)) as refusal:
        auth.check_key(sent, "paper")
    assert refusal.value.status == 401


@pytest.mark.parametrize(
    ("timestamp", "window", "accepted"),
    [
        (NOW_MS, "", True),
        (NOW_MS - 5_000, "", True),
        (NOW_MS - 5_001, "", False),
        (NOW_MS - 1_000, "1000", True),
        (NOW_MS - 1_001, "1000", False),
        (NOW_MS + 999, "", True),
        (NOW_MS + 1_000, "", False),
        (NOW_MS, "60001", False),
    ],
)
def test_the_time_window(timestamp: int, window: str, *, accepted: bool) -> None:
    params = {"timestamp": str(timestamp)} | ({"recvWindow": window} if window else {})
    if accepted:
        auth.check_time(params, NOW_MS)
    else:
        with pytest.raises(ApiError, match="-1021"):
            auth.check_time(params, NOW_MS)


@pytest.mark.parametrize("params", [{}, {"timestamp": "soon"}, {"timestamp": "1", "recvWindow": "x"}])
def test_malformed_times(params: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="-1102"):
        auth.check_time(params, NOW_MS)


def test_windows_start_again() -> None:
    window = Window(10_000)
    assert [window.add(2, 5_000), window.add(2, 9_999), window.add(1, 10_000)] == [2, 4, 1]
    assert window.rest_s(10_000) == 11


def test_weight_is_counted_by_address_and_bounded() -> None:
    limits = Limits(weight_1m=10, orders_10s=1, orders_1m=2)
    limits.check_request(limits.count_request("a", 10, NOW_MS))
    limits.check_request(limits.count_request("b", 10, NOW_MS))
    with pytest.raises(ApiError, match="-1003") as refusal:
        limits.check_request(limits.count_request("a", 1, NOW_MS))
    assert refusal.value.status == 429
    assert 1 <= limits.retry_after_s(-1003, NOW_MS) <= 60


def test_orders_are_counted_in_two_windows() -> None:
    limits = Limits(weight_1m=10, orders_10s=1, orders_1m=2)
    start = NOW_MS - NOW_MS % 60_000
    limits.check_order(limits.count_order(start))
    with pytest.raises(ApiError, match="10 SECOND"):
        limits.check_order(limits.count_order(start))
    assert 1 <= limits.retry_after_s(-1015, start) <= 11
    with pytest.raises(ApiError, match="1 MINUTE"):
        limits.check_order(limits.count_order(start + 10_000))
