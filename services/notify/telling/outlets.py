"""Opens the channels that are set up and gives each its sender: a loop, a pace and a lease.

All Telegram chats share a lease, for they share a bot; every other channel has its own. It must never hold a
rule about messages.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.notify.channel_news import ChannelNews, moved_address
from services.notify.channel_queue import ChannelQueue
from services.notify.config import NotifySettings
from services.notify.flow import DeliveryFlow
from services.notify.metrics_collector import DeliveryMetrics
from services.notify.ports import TakesMessages
from services.notify.telegram_bot import LEASE_NAME, TelegramBot, TelegramChat
from services.notify.telling.channels import Channel
from services.notify.telling.pacing import Answer, interval_of
from services.notify.telling.sender import Sender
from services.notify.telling.texts import Language
from shared import logs
from shared.clock import utc_now
from shared.database import Database
from shared.lease import Lease
from shared.lifecycle import Runtime

_log = logs.get(__name__)


@dataclass(frozen=True)
class Outlets:
    """The channels there are, and how their senders are woken."""

    channels: Sequence[Channel]
    senders: Sequence[Sender]

    def wake(self) -> None:
        """Say that a notification was kept."""
        for sender in self.senders:
            sender.wake()


async def open_outlets(
    runtime: Runtime,
    settings: NotifySettings,
    database: Database,
    words: Language,
    news: ChannelNews,
    monotonic_s: Callable[[], float],
) -> Outlets:
    """Open every channel and start its sender; without any, notifications are kept and not sent.

    Raises:
        DatabaseUnavailable: where the chats are is not known.
    """
    await news.refresh()
    opened: list[tuple[Channel, TakesMessages, float, str]] = []
    if settings.telegram_bot_token is None:
        _log.warning("telegram_not_set_up", effect="notifications are stored and not sent there")
    else:
        token = settings.telegram_bot_token.get_secret_value()
        bot = await runtime.open(TelegramBot(token, settings.telegram_base_url))
        for chat in settings.telegram_chats:
            pace_s = interval_of(chat.address)
            taker = TelegramChat(bot, moved_address(chat, news.moves), news)
            opened.append((chat, taker, pace_s, LEASE_NAME))
    for channel in settings.other_channels:
        # Loaded only where it is used: the library takes 25 MB.
        adapter = importlib.import_module("services.notify.telling.apprise_channel")
        opened.append((channel, adapter.AppriseChannel(channel), adapter.INTERVAL_S, channel.name))
    senders = []
    for channel, receiver, interval_s, lease_name in opened:
        flow = DeliveryFlow(
            ChannelQueue(database, channel),
            receiver,
            _ChannelWatch(channel, news),
            interval_s,
            utc_now,
            monotonic_s,
            words,
        )
        sender = Sender(channel.name, flow, Lease(database, lease_name, runtime.holder))
        runtime.spawn(f"sender {channel.name}", sender.run)
        runtime.on_drain(sender.drain)
        senders.append(sender)
    channels = [channel for channel, _, _, _ in opened]
    await news.take_over_moved(channels)
    return Outlets(channels, senders)


class _ChannelWatch(DeliveryMetrics):
    """Counts what becomes of messages, and lets a channel's answers be news."""

    def __init__(self, channel: Channel, news: ChannelNews) -> None:
        super().__init__(channel.kind)
        self._of = channel
        self._news = news

    def answered(self, answer: Answer) -> None:
        """The channel answered an attempt."""
        super().answered(answer)
        self._news.answered(self._of, answer)
