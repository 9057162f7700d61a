"""What a browser sends to act or to look, before anything is asked of it: whatever has no form is refused."""

from datetime import UTC, datetime
from typing import cast

import pytest

from services.notify.dashboard.act_routes import _asked
from services.notify.dashboard.entrance import person
from services.notify.dashboard.gate import VIEWERS_TRIES_PER_MINUTE, Gate, Visitor
from services.notify.dashboard.session_store import SessionStore
from services.notify.dashboard.views import symbol_of
from services.notify.desk import Desk
from services.notify.people import Act, Door, Request, Why
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


class Watch:
    """Counts who was refused."""

    def __init__(self) -> None:
        self.seen: list[tuple[Door, Why]] = []

    def refused(self, door: Door, why: Why) -> None:
        self.seen.append((door, why))


def test_what_a_viewer_tries_does_not_fill_the_record_and_an_operator_is_always_heard() -> None:
    watch = Watch()
    gate = Gate(cast(SessionStore, None), cast(Desk, None), watch, {}, ())
    viewer, operator = (
        Visitor(person(name), "token", b"key", datetime(2026, 11, 21, tzinfo=UTC))
        for name in ("viewer", "operator")
    )
    heard = [gate.may_try(viewer) for _ in range(VIEWERS_TRIES_PER_MINUTE + 1)]
    assert heard == [True] * VIEWERS_TRIES_PER_MINUTE + [False]
    assert watch.seen == [(Door.DASHBOARD, Why.ROLE)]
    assert all(gate.may_try(operator) for _ in range(VIEWERS_TRIES_PER_MINUTE + 1))


@pytest.mark.parametrize("given", ["", "\x00", "BTC\nUSDT", "\ud800", "B" * 41])
def test_what_would_stop_the_database_is_no_symbol(given: str) -> None:
    assert symbol_of(given) is None


def test_a_symbol_is_looked_at_as_it_is_written() -> None:
    assert symbol_of("BTCUSDT_261225") == "BTCUSDT_261225"
