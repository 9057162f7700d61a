"""Puts the chat's incoming half together: who may come in, what answers, the loop that listens.

It must never hold a rule.
"""

import time
from collections.abc import Mapping, Sequence

from services.notify.channel_news import ChannelNews
from services.notify.chat.acts import ChatActs
from services.notify.chat.commands import MENU
from services.notify.chat.conversation import Conversation
from services.notify.chat.doorkeeper import GuestList
from services.notify.chat.poller import LEASE_NAME, Poller
from services.notify.chat.reads import ChatReads
from services.notify.chat.telegram_door import TelegramDoor
from services.notify.chat.texts import TABLES, Phrases
from services.notify.config import NotifySettings
from services.notify.desk import Desk
from services.notify.desk_store import DeskStore
from services.notify.metrics_collector import ChatMetrics, DoorMetrics
from services.notify.reports import Reports
from services.notify.service_client import ServiceClient
from services.notify.telling.channels import chat_of
from shared import logs
from shared.clock import utc_now
from shared.database import Database
from shared.lease import Lease
from shared.lifecycle import Runtime

_log = logs.get(__name__)


async def open_chat(
    runtime: Runtime,
    settings: NotifySettings,
    database: Database,
    desk: Desk,
    store: DeskStore,
    services: ServiceClient,
    news: ChannelNews,
) -> None:
    """Listen to the chat, if one is set up."""
    token = settings.telegram_bot_token
    if token is None:
        return
    if not settings.telegram_operators | settings.telegram_viewers:
        _log.warning(
            "telegram_nobody_listed",
            effect="commands are refused",
            what_to_do="send the bot a message, it answers your id: add that to PHOENIX_TELEGRAM_OPERATORS",
        )
    door = await runtime.open(TelegramDoor(token.get_secret_value(), settings.telegram_base_url))
    say, watch, reports = Phrases(settings.language), ChatMetrics(), Reports(database)
    reads = ChatReads(services, reports, say, utc_now, settings.mode)
    acts = ChatActs(desk, reads, reports, door, say, utc_now, time.monotonic)
    chats = [chat_of(chat.address)[0] for chat in settings.telegram_chats]
    guests = GuestList(chats, settings.telegram_operators, settings.telegram_viewers, news.moves)
    conversation = Conversation(
        guests, reads, acts, desk, door, say, DoorMetrics(), watch, utc_now, time.monotonic
    )
    lease = Lease(database, LEASE_NAME, runtime.holder)
    poller = Poller(door, lease, store, conversation, acts, watch, menus(settings.language))
    runtime.spawn("telegram_poller", poller.run)
    runtime.on_drain(poller.drain)


def menus(default: str) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return the commands by the language of who reads them; `""` is for all other languages."""
    by_language = {
        str(language): [(name, table[f"about_{name}"]) for name in MENU] for language, table in TABLES.items()
    }
    return {"": by_language[default], **by_language}
