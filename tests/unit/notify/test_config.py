"""The settings of NOTIFY refuse half a Telegram."""

import pytest
from pydantic import ValidationError

from services.notify.config import NotifySettings

NEEDED = {
    "amqp_url": "amqp://127.0.0.1:1/%2Ftrading",
    "redis_url": "redis://127.0.0.1:1/0",
    "postgres_url": "postgresql://127.0.0.1:1/phoenix",
    "api_key": "k" * 16,
    "notify_db_password": "p",
    "dashboard_operator_password": "operator-secret",
    "dashboard_viewer_password": "viewer-secret",
}


def settings(**given: object) -> NotifySettings:
    return NotifySettings.model_validate(NEEDED | given)


def test_without_telegram_is_a_whole_configuration() -> None:
    assert settings().telegram_bot_token is None
    assert settings(telegram_bot_token="", telegram_chat_id="").telegram_chat_id is None


@pytest.mark.parametrize("half", [{"telegram_bot_token": "95:x"}, {"telegram_chat_id": "95"}])
def test_token_without_chat_or_chat_without_token_is_refused(half: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="both or not at all"):
        settings(**half)


@pytest.mark.parametrize("chat_id", ["95", "-10095", "@phoenix"])
def test_chat_ids(chat_id: str) -> None:
    assert settings(telegram_bot_token="95:x", telegram_chat_id=chat_id).telegram_chat_id == chat_id


def test_token_is_never_shown() -> None:
    assert "sesame" not in repr(settings(telegram_bot_token="95:sesame", telegram_chat_id="95"))


def test_people_are_listed_by_their_numbers() -> None:
    listed = settings(telegram_operators=" 42, 43,", telegram_viewers="")
    assert (listed.telegram_operators, listed.telegram_viewers) == (frozenset({42, 43}), frozenset())


@pytest.mark.parametrize("wrong", ["-10095", "mina", "0"])
def test_groups_and_names_are_no_people(wrong: str) -> None:
    with pytest.raises(ValidationError, match="telegram_operators"):
        settings(telegram_operators=wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"telegram_chat_id": "nobody", "telegram_bot_token": "95:x"}, "PHOENIX_TELEGRAM_CHAT_ID: `nobody`"),
        ({"notification_levels": "trading_halted=off"}, "PHOENIX_NOTIFICATION_LEVELS: trading_halted tells"),
        ({"channels": "sesame"}, "PHOENIX_CHANNELS: number 1 is no apprise URL"),
        ({"daily_report_at": "24:00"}, "daily_report_at"),
    ],
)
def test_a_list_that_cannot_be_read_names_its_setting(wrong: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**wrong)


def test_a_channels_url_is_never_shown() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    told = settings(channels=url)
    assert "TIiajk" not in repr(told)
    assert [channel.kind for channel in told.other_channels] == ["slack"]
