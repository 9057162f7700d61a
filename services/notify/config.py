"""What can be set about NOTIFY. Knows no other service."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PositiveInt, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from services.notify.telling.channels import Channel, apprise_channels, telegram_chats
from services.notify.telling.kinds import Kind, Level, levels_from
from shared.settings import LOOPBACK, Networks, Settings, listed

SETTING_OF = {
    "telegram_chats": "PHOENIX_TELEGRAM_CHAT_ID",
    "other_channels": "PHOENIX_CHANNELS",
    "levels": "PHOENIX_NOTIFICATION_LEVELS",
}

UserIds = Annotated[frozenset[PositiveInt], NoDecode, BeforeValidator(listed)]
"""Telegram user ids, separated by commas; negative numbers are groups, which nobody is."""


class NotifySettings(Settings):
    """Where notifications are kept and to which chat they go."""

    notify_db_password: SecretStr = Field(description="Password of the database role phoenix_notify.")
    telegram_bot_token: SecretStr | None = Field(
        None, description="Token of the Telegram bot. Without one, notifications are stored and not sent."
    )
    telegram_chat_id: str | None = Field(
        None,
        description="Chats the bot writes to, comma-separated: numbers (negative for groups) or @channel,"
        " `/topic` after a group with topics; `warning:` or `critical:` before one tells it no less.",
    )
    channels: SecretStr = Field(
        SecretStr(""),
        description="Other channels as apprise URLs (slack://, discord://, mailto://, json://), separated by"
        " spaces; `warning:` or `critical:` before one tells it no less than that.",
    )
    notification_levels: str = Field(
        "",
        description="How loudly kinds of messages are told, comma-separated: `decision_rejected=off,"
        "position_opened=silent`; on, silent (no sound) or off (kept, not sent). Danger cannot be off.",
    )
    daily_report_at: str = Field(
        "00:05",
        pattern=r"^(off|([01]\d|2[0-3]):[0-5]\d)$",
        description="When the report of the day before is sent, HH:MM UTC, or `off`.",
    )
    telegram_base_url: str = Field(
        "https://api.telegram.org",
        pattern=r"^https?://[^/]+$",
        description="Telegram Bot API server; a local one may stand in.",
    )
    telegram_operators: UserIds = Field(
        frozenset(),
        description="Telegram user ids that may look and act (close, pause, resume, halt), comma-separated.",
    )
    telegram_viewers: UserIds = Field(
        frozenset(), description="Telegram user ids that may look, comma-separated."
    )
    language: Literal["en", "ko"] = Field("en", description="Language of messages and of the dashboard.")
    dashboard_operator_password: SecretStr = Field(
        min_length=12, description="Password of the dashboard's user `operator`, who may act."
    )
    dashboard_viewer_password: SecretStr = Field(
        min_length=12, description="Password of the dashboard's user `viewer`, who may look."
    )
    dashboard_session_hours: int = Field(
        12, ge=1, le=168, description="A login of the dashboard ends after this, hours."
    )
    dashboard_idle_minutes: int = Field(
        60, ge=1, le=10_080, description="A login that nobody uses ends after this, minutes."
    )
    trusted_proxies: Networks = Field(
        LOOPBACK,
        description="Who may say in X-Real-IP where a request comes from, as addresses or networks separated"
        " by commas: our nginx and nobody else.",
    )
    amqp_management_url: SecretStr | None = Field(
        None, description="HTTP API of the broker with credentials, for the dashboard's queues; optional."
    )
    brain_url: str = Field("http://127.0.0.1:8100", description="Where BRAIN is balanced.")
    risk_url: str = Field("http://127.0.0.1:8101", description="Where RISK is balanced.")
    execute_url: str = Field("http://127.0.0.1:8102", description="Where EXECUTE is balanced.")
    notify_url: str = Field("http://127.0.0.1:8103", description="Where NOTIFY is balanced.")
    notifications_kept_days: int = Field(
        90, ge=1, le=3_650, description="Notifications older than this are deleted, days."
    )

    @field_validator("telegram_bot_token", "telegram_chat_id", mode="before")
    @classmethod
    def _empty_is_absent(cls, given: object) -> object:
        return None if given == "" else given

    @property
    def telegram_chats(self) -> Sequence[Channel]:
        """The chats the bot writes to."""
        return telegram_chats(self.telegram_chat_id or "")

    @property
    def other_channels(self) -> Sequence[Channel]:
        """The channels beside Telegram."""
        return apprise_channels(self.channels.get_secret_value())

    @property
    def levels(self) -> Mapping[Kind, Level]:
        """How loudly each kind is told that is not simply on."""
        return levels_from(self.notification_levels)

    @model_validator(mode="after")
    def _lists_can_be_read(self) -> Self:
        for name in ("telegram_chats", "other_channels", "levels"):
            try:
                getattr(self, name)
            except ValueError as error:
                raise ValueError(f"{SETTING_OF[name]}: {error}") from None
        return self

    @model_validator(mode="after")
    def _token_and_chat_come_together(self) -> Self:
        if (self.telegram_bot_token is None) != (self.telegram_chat_id is None):
            raise ValueError(
                "PHOENIX_TELEGRAM_BOT_TOKEN and PHOENIX_TELEGRAM_CHAT_ID are set both or not at all"
            )
        return self
