"""The story of a signal in Korean: every sentence, every number, and names as the messages have them."""

import re
from string import Formatter

import pytest

from services.notify.telling.languages import LANGUAGES, STORIES
from services.notify.telling.story_ko import KOREAN_STORY, PHRASES
from shared import models, story, story_words
from shared.story import tell
from tests.unit.cli.phoenix_stand_in import STORY, story_of
from tests.unit.notify import facts

HANGUL = re.compile("[가-힣]")


def _values(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_sentence_is_there_with_the_same_values() -> None:
    english = {key: _values(text) for key, text in story_words.PHRASES.items()}
    assert {key: _values(text) for key, text in PHRASES.items()} == english
    assert set(STORIES) == set(LANGUAGES)


def test_every_number_of_the_english_story_is_in_the_korean_one() -> None:
    for english, korean in zip(*(_lines(words) for words in STORIES.values()), strict=True):
        assert _numbers(english) == _numbers(korean), korean


@pytest.mark.parametrize(
    "fact",
    [fact for _, fact in STORY]
    + [facts.REJECTED, facts.ORDER_ENDED, facts.SIGNAL_ENDED, facts.CLOSE_IGNORED],
    ids=lambda fact: fact.SCHEMA,
)
def test_every_chapter_is_told_in_korean(fact: models.Message) -> None:
    for chapter in tell(story_of((5, fact), outcome=None), KOREAN_STORY):
        assert HANGUL.search(chapter.title), chapter.title


def test_reasons_and_sides_are_named_as_in_the_messages() -> None:
    told = "\n".join(_lines(KOREAN_STORY))
    assert "알림: BTCUSDT 롱" in told
    assert "포지션 청산: 익절" in told
    rejected = tell(story_of((3, facts.REJECTED), outcome="rejected"), KOREAN_STORY)
    assert any("최종 신뢰도" in line.text and "거절" in line.text for each in rejected for line in each.lines)


def _lines(words: story_words.StoryWords) -> list[str]:
    return [
        text
        for chapter in story.tell(story_of(*STORY, outcome="opened"), words)
        for text in (chapter.title, *(line.text for line in chapter.lines))
    ]


def _numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.,:]*\d|\d", text))
