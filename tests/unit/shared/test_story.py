"""The story of a signal names every number a trader would ask for."""

import re

import pytest

from shared import models
from shared.story import NARRATORS, tell
from shared.story_lines import Chapter, Mark
from tests.unit.cli.phoenix_stand_in import STORY, story_of
from tests.unit.notify import facts

NOT_PART_OF_A_SIGNAL = {
    models.SignalReceived.SCHEMA,  # told from the signal itself
    models.TradingStateChanged.SCHEMA,
    models.AccountSnapshot.SCHEMA,
    models.AlertRaised.SCHEMA,
}


def words(chapters: list[Chapter]) -> str:
    return "\n".join(
        "\n".join((f"{chapter.at_ms} {chapter.title}", *(line.text for line in chapter.lines)))
        for chapter in chapters
    )


def test_every_message_of_a_signal_has_a_narrator() -> None:
    assert set(NARRATORS) | NOT_PART_OF_A_SIGNAL == {message.SCHEMA for message in models.MESSAGES}


def test_whole_story_of_a_trade() -> None:
    told = words(tell(story_of(*STORY, outcome="opened")))
    for expected in (
        "0 Alert: long BTCUSDT",
        "2 BRAIN scored it",
        "technical.rsi = 1.1   RSI 45 → 40–60",
        "not known, so defaulted: macd",
        "gate confidence: 0.8, at least 0.25 — passed",
        "gate final_confidence: 0.848, at least 0.85 — not passed",
        "odds from 12 own trades: win rate 61.00 % (42.00 % to 78.00 %)",
        "4 RISK approved long",
        "signal · state: ACTIVE, limit ACTIVE — pass",
        "size: Kelly 25.00 % → margin 5.00 % of equity",
        "margin 375.00 USDT × 20 = 7,500.00 USDT",
        "risk at stop 157.50 USDT; stop 2.00 % away",
        "9 EXECUTE placed the entry",
        "slippage 0.0100 % (worse)",
        "stop 49000, take profit 51000; unprotected for 12 ms",
        "22 The position is open",
        "4325000 The position closed: take profit",
        "profit +150.00, fees 6.03, funding -0.80 USDT",
        "net +143.17 USDT",
        "opened: protected",
    ):
        assert expected in told, f"{expected!r} is missing in\n{told}"


def test_chapters_are_in_the_order_of_their_times() -> None:
    times = [chapter.at_ms for chapter in tell(story_of(*reversed(STORY))) if chapter.at_ms is not None]
    assert times[:-1] == sorted(times[:-1])


def test_refusal_marks_the_check_that_refused() -> None:
    chapters = tell(story_of((3, facts.REJECTED), outcome="rejected"))
    refused = [line.text for chapter in chapters for line in chapter.lines if line.mark is Mark.BAD]
    assert any(re.search("final_confidence: 0.848, limit 0.85 — refuse", text) for text in refused)


def test_analysis_is_told_even_when_no_event_carries_it() -> None:
    assert "BRAIN scored it" in words(tell(story_of((3, facts.REJECTED), outcome="rejected")))


@pytest.mark.parametrize(
    "fact",
    [facts.ORDER_ENDED, facts.SIGNAL_ENDED, facts.CLOSE_IGNORED, facts.QUIET[3]],
    ids=lambda f: f.SCHEMA,
)
def test_other_endings_are_told(fact: models.Message) -> None:
    assert len(tell(story_of((5, fact), outcome=None))) >= 3


def test_message_of_a_later_version_is_shown_as_it_is() -> None:
    document = story_of((5, facts.ORDER_ENDED))
    document["story"][0] |= {"schema": "order.sent_to_the_moon.v7", "payload": {"distance_km": "384400"}}
    told = words(tell(document))
    assert "order.sent_to_the_moon.v7" in told
    assert "distance_km: 384400" in told


def test_repeat_names_the_signal_whose_story_it_is() -> None:
    assert "a repeat of sig-first" in words(tell(story_of(*STORY) | {"duplicate_of": "sig-first"}))


def test_signal_on_its_way_says_so() -> None:
    assert "No outcome yet" in words(tell(story_of(*STORY, outcome=None)))


def test_the_last_chapter_is_what_happened_last() -> None:
    """U4: a liquidation stood above "opened: protected"."""
    ended = tell(story_of(*STORY, outcome="opened"))
    assert ended[-1].title == "The position closed: take profit"
    assert "Outcome" in [chapter.title for chapter in ended[:-1]]


def test_a_position_ends_after_its_outcome_whatever_clock_decided() -> None:
    document = story_of(*STORY, outcome="opened")
    document["outcome"]["decided_at"] = "2199-01-01T00:00:00Z"
    assert tell(document)[-1].title == "The position closed: take profit"


def test_the_story_of_an_exit_tells_what_it_brought() -> None:
    document = story_of((3, facts.QUIET[0]), outcome="closed")
    closed = {"signal_id": "sig-x", "symbol": "BTCUSDT", "reason": "exit_signal", "net_pnl_usdt": "-81.5"}
    document["closed"] = [closed | {"closed_at": document["outcome"]["decided_at"]}]
    told = words(tell(document))
    assert "It closed BTCUSDT (exit signal), opened by sig-x" in told
    assert "net -81.50 USDT" in told


def test_refusals_of_the_exchange_are_told_with_code_and_text() -> None:
    told = words(tell(story_of(*STORY, (60_000, facts.ORDER_REFUSED))))
    assert "The exchange refused the take profit (-4045)" in told
    assert "Reach max stop order limit." in told


def test_incomplete_books_are_told_as_such_and_completed_later() -> None:
    told = words(tell(story_of((3, facts.CLOSED_INCOMPLETE), (9, facts.BOOKS_COMPLETED))))
    assert "the books are incomplete: fills: exchange refused (-1102): no" in told
    assert "stop refused (-4130): no" in told
    assert "The books of the position are complete: stop loss" in told
    assert told.count("net ") == 1
