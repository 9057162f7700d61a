"""What a browser sends to act or to look, before anything is asked of it: whatever has no form is refused."""

import pytest

from services.notify.dashboard.act_routes import _asked
from services.notify.dashboard.views import symbol_of
from services.notify.people import Act, Request
from shared.http_api import Problem


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"act": "close", "symbol": "BTCUSDT"}, Request(Act.CLOSE, "BTCUSDT")),
        ({"act": "close_all"}, Request(Act.CLOSE_ALL)),
        ({"act": "halt", "symbol": ""}, Request(Act.HALT)),
    ],
)
def test_an_act_is_read_from_a_form(form: dict[str, str], expected: Request) -> None:
    assert _asked(form) == expected


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"act": "withdraw"},
        {"act": "close"},
        {"act": "close", "symbol": "btcusdt"},
        {"act": "close", "symbol": "BTCUSDT\x00"},
        {"act": "close", "symbol": "../update"},
        {"act": "halt", "symbol": "BTCUSDT"},
    ],
)
def test_a_form_without_an_act_is_a_problem_of_the_sender(form: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        _asked(form)
    assert caught.value.status == 422


@pytest.mark.parametrize("given", ["", "\x00", "BTC\nUSDT", "\ud800", "B" * 41])
def test_what_would_stop_the_database_is_no_symbol(given: str) -> None:
    assert symbol_of(given) is None


def test_a_symbol_is_looked_at_as_it_is_written() -> None:
    assert symbol_of("BTCUSDT_261225") == "BTCUSDT_261225"
