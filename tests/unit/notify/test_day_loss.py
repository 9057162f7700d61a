"""The warning before the day's loss limit: once per mark and day, with both numbers."""

from typing import Any

import pytest

from services.notify.daily.day_loss import DayLossWatch, warning_of
from services.notify.telling.languages import LANGUAGES
from services.notify.telling.message_format import describe
from shared.models import AlertRaised, Envelope
from tests.unit.notify.facts import NOON

ENGLISH = LANGUAGES["en"]


def status(used: str | None, limit: str = "0.05") -> dict[str, Any]:
    return {"limits": [{"name": "daily_loss_max", "used": used, "limit": limit}]}


@pytest.mark.parametrize("quiet", [status(None), status("0"), status("0.0249"), status("0.9", "0"), {}])
def test_nothing_is_said_below_the_first_mark(quiet: dict[str, Any]) -> None:
    assert warning_of(quiet, NOON, ENGLISH) is None


def test_each_mark_is_one_fact_a_day_however_often_it_is_seen() -> None:
    seen = [warning_of(status(used), NOON, ENGLISH) for used in ("0.025", "0.031", "0.04", "0.049", "0.06")]
    ids = [one.event_id for one in seen if one is not None]
    assert [ids[0] == other for other in ids] == [True, True, False, False, False]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("language", "title", "words"),
    [
        ("en", "Day's loss near its limit", "3.10 % of the day's equity is lost, the limit is 5.00 %."),
        ("ko", "일일 손실 한도 접근", "오늘 자산의 3.10 %를 잃었습니다. 한도는 5.00 %입니다."),
    ],
)
def test_the_warning_has_both_numbers(language: str, title: str, words: str) -> None:
    warning = warning_of(status("0.031"), NOON, LANGUAGES[language])
    assert warning is not None
    told = describe(warning, LANGUAGES[language])
    assert told is not None
    assert told.title == title
    assert told.body.startswith(words)


async def test_the_watch_asks_risk_and_tells() -> None:
    told: list[tuple[str, Envelope]] = []

    class Risk:
        async def get(self, service: str, path: str) -> dict[str, Any]:
            assert (service, path) == ("risk", "/status")
            return status("0.041")

    async def tell(source: str, envelope: Envelope, /) -> None:
        told.append((source, envelope))

    await DayLossWatch(Risk(), tell, ENGLISH, lambda: NOON).look()
    ((source, envelope),) = told
    assert source == "day_loss"
    assert isinstance(envelope.payload, AlertRaised)
