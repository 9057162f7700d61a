"""One truthful headline: never green while entries are refused, nor for want of data (U2)."""

from dataclasses import replace
from string import Formatter
from typing import Any

import pytest

from services.notify.telling import headline_ko
from services.notify.telling.headline_ko import KOREAN_HEADLINE
from shared import headline_words
from shared.headline import Entries, Situation, Tone, headline_of
from shared.headline_words import ENGLISH

READY = {"ready": True, "dependencies": {"postgresql": "ok"}}
RISK = {"state": "ACTIVE", "entries_blocked_by": [], "market": {"symbols": 2, "fresh": 2, "stale": []}}
WELL = Situation(
    risk=RISK,
    readiness=dict.fromkeys(("brain", "risk", "execute", "notify"), READY),
    positions=[{"symbol": "BTCUSDT", "protected_at": "2026-01-01T00:00:00Z", "state": "protected"}],
    dead_letters=0,
)
BARE = {"symbol": "ETHUSDT", "has_stop": False}
NAKED = [{"symbol": "BTCUSDT", "protected_at": None, "state": "filled"}]


def blocked(reason: str, measured: str = "7 %", limit: str = "below 5 %") -> dict[str, Any]:
    return RISK | {"entries_blocked_by": [{"reason": reason, "measured": measured, "limit": limit}]}


def away(service: str, dependency: str = "process") -> dict[str, Any]:
    gone = {"ready": False, "dependencies": {dependency: "cannot be reached"}}
    return {**(WELL.readiness or {}), service: gone}


def test_when_all_is_well_it_is_green_and_says_so() -> None:
    headline = headline_of(WELL)
    assert (headline.entries, headline.tone, headline.reasons) == (Entries.TAKEN, Tone.GOOD, [])
    assert ENGLISH.title(headline) == "ACTIVE: entries and exits are traded"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"risk": blocked("daily_loss")}, "The day's loss is 7 %; entries need it below 5 %."),
        ({"risk": blocked("drawdown")}, "The drawdown is 7 %"),
        ({"risk": blocked("positions_max", "10", "below 10")}, "10 positions are open"),
        ({"risk": blocked("entries_per_minute_max", "10", "below 10")}, "10 entries within a minute"),
        ({"risk": blocked("market_data_stale", "9 s", "5 s")}, "No symbol has a fresh price"),
        ({"risk": blocked("account_data_stale", "19 s", "10 s")}, "last reported 19 s ago"),
        ({"risk": blocked("trading_halted") | {"state": "HALTED"}}, "Trading is halted."),
        (
            {"risk": blocked("disk_nearly_full", "3 %", "at least 5 %")},
            "disk nearly full (3 %, limit at least 5 %)",
        ),
        ({"readiness": away("execute", "exchange")}, "EXECUTE is not ready: exchange: cannot be reached."),
        ({"readiness": away("risk")}, "RISK is not ready"),
        ({"readiness": away("brain", "rabbitmq")}, "BRAIN is not ready: rabbitmq"),
    ],
)
def test_whatever_refuses_entries_is_said_with_what_to_do(changes: dict[str, Any], words: str) -> None:
    headline = headline_of(replace(WELL, **changes))
    assert headline.entries is Entries.REFUSED
    assert headline.tone is not Tone.GOOD
    (line,) = ENGLISH.lines(headline)
    assert words in line.what
    assert line.remedy


@pytest.mark.parametrize("absent", ["risk", "readiness", "positions"])
def test_what_nobody_knows_is_not_green(absent: str) -> None:
    changes: dict[str, Any] = {absent: None, "faults": {absent: "no answer"}}
    headline = headline_of(replace(WELL, **changes))
    assert headline.entries is Entries.UNKNOWN
    assert headline.tone is Tone.UNKNOWN
    assert "no answer" in ENGLISH.lines(headline)[0].what


def test_services_that_were_not_asked_and_a_risk_that_tells_no_reasons_are_not_green() -> None:
    assert headline_of(replace(WELL, readiness={})).tone is Tone.UNKNOWN
    assert headline_of(replace(WELL, risk={"state": "ACTIVE"})).tone is Tone.UNKNOWN
    assert headline_of(replace(WELL, risk={"state": "HALTED"})).entries is Entries.REFUSED


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({"positions": NAKED}, Tone.BAD, "Without a stop on the exchange: BTCUSDT"),
        (
            {"foreign": [{"symbol": "ETHUSDT", "has_stop": False}]},
            Tone.WARN,
            "Not ours and without a stop: ETHUSDT",
        ),
        ({"dead_letters": 2}, Tone.WARN, "2 messages"),
        ({"alarms": [{"name": "broker_down", "severity": "critical"}]}, Tone.BAD, "broker down"),
        ({"alarms": [{"name": "backup_old", "severity": "warning"}]}, Tone.WARN, "backup old"),
        ({"readiness": away("notify")}, Tone.WARN, "NOTIFY is not ready"),
        ({"risk": RISK | {"market": {"fresh": 1, "stale": ["XRPUSDT"]}}}, Tone.WARN, "XRPUSDT"),
    ],
)
def test_what_needs_a_look_is_not_green_though_entries_are_traded(
    changes: dict[str, Any], tone: Tone, words: str
) -> None:
    headline = headline_of(replace(WELL, **changes))
    assert (headline.entries, headline.tone) == (Entries.TAKEN, tone)
    assert words in ENGLISH.lines(headline)[0].what


def test_the_gravest_is_said_first_and_none_is_left_out() -> None:
    headline = headline_of(replace(WELL, positions=NAKED, risk=blocked("daily_loss"), dead_letters=1))
    assert [reason.name for reason in headline.reasons] == ["unprotected", "daily_loss", "dead_letters"]


def test_exits_are_not_promised_while_who_carries_them_out_is_away() -> None:
    headline = headline_of(replace(WELL, readiness=away("execute")))
    assert ENGLISH.title(headline) == "No new entries are traded, and exits wait"
    paused = headline_of(replace(WELL, risk=blocked("trading_reducing") | {"state": "REDUCING"}))
    assert ENGLISH.title(paused) == "PAUSED: no new entries are traded; exits are"


def test_both_languages_have_every_word() -> None:
    assert set(headline_ko.TITLES) == set(headline_words.TITLES)
    assert set(headline_ko.REASONS) == set(headline_words.REASONS)
    for name, (what, _) in headline_words.REASONS.items():
        assert _names(what) == _names(headline_ko.REASONS[name][0])
    assert (
        "오늘 손실" in KOREAN_HEADLINE.lines(headline_of(replace(WELL, risk=blocked("daily_loss"))))[0].what
    )


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}
