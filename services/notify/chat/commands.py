"""What can be typed and pressed: the commands as one table, and the data that buttons carry. Pure.

It must never decide who may do something: an act's role stands in `people`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.notify.people import Act, Request
from shared.symbols import NoSymbol, symbol_of

ARGUMENT_CHARS_MAX = 64
ALL = "all"
NEWEST = "last"


class Ask(StrEnum):
    """What can be looked at."""

    STATUS = "status"
    POSITIONS = "positions"
    POSITION = "position"
    WHY = "why"
    SIGNALS = "signals"
    PROFIT = "profit"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    PERFORMANCE = "performance"
    BALANCE = "balance"
    RISK = "risk"
    LIMITS = "limits"
    HEALTH = "health"
    VERSION = "version"
    HELP = "help"
    START = "start"


DO: Mapping[str, Act] = {"close": Act.CLOSE, "pause": Act.PAUSE, "resume": Act.RESUME, "halt": Act.HALT}
"""The commands that set out to change something; `/close all` is `CLOSE_ALL`."""

MENU: Sequence[str] = (*(ask for ask in Ask if ask is not Ask.START), *DO)
"""The commands as Telegram lists them, in this order."""

USAGE: Mapping[str, str] = {
    Ask.POSITION: "/position BTCUSDT",
    Ask.WHY: "/why last",
    Ask.SIGNALS: "/signals 10",
    Ask.PROFIT: "/profit 30",
    Ask.PERFORMANCE: "/performance 30",
    "close": "/close BTCUSDT",
}
"""An example where a command takes something."""

NUMBERS: Mapping[Ask, tuple[int, int]] = {
    Ask.SIGNALS: (5, 25),
    Ask.PROFIT: (30, 3_650),
    Ask.PERFORMANCE: (30, 3_650),
}
"""Commands that take a number: what it is when not given, and its largest."""

_ASKS: Mapping[str, Ask] = {ask.value: ask for ask in Ask}
_COMMAND = re.compile(r"/(?P<name>[A-Za-z0-9_]{1,32})(?:@(?P<bot>\w{1,64}))?(?:\s+(?P<rest>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command as typed; `for_us` when it named our bot."""

    name: str
    arguments: tuple[str, ...] = ()
    for_us: bool = False


def read(text: str, bot_name: str) -> Command | None:
    """Return the command in a text; None when it is none, or another bot's."""
    found = _COMMAND.fullmatch(text.strip())
    if found is None:
        return None
    bot = found["bot"]
    if bot is not None and bot.lower() != bot_name.lower():
        return None
    arguments = tuple(each[:ARGUMENT_CHARS_MAX] for each in (found["rest"] or "").split())
    return Command(found["name"].lower(), arguments, bot is not None)


def asked(command: Command) -> Ask | None:
    """Return what the command wants to look at, None for an act or an unknown one."""
    return _ASKS.get(command.name)


def request_of(command: Command) -> Request | None:
    """Return the act the command sets out to, None where its symbol is missing or has no such form."""
    act = DO[command.name]
    if act is not Act.CLOSE:
        return Request(act)
    target = command.arguments[0] if command.arguments else ""
    if target.lower() == ALL:
        return Request(Act.CLOSE_ALL)
    symbol = bare_symbol(target)
    return Request(act, symbol) if symbol is not None else None


def bare_symbol(text: str) -> str | None:
    """Return a typed symbol as the exchange spells it (`binance:btcusdt.p` → `BTCUSDT`), or None."""
    try:
        return symbol_of(text)
    except NoSymbol:
        return None


def number_of(command: Command, ask: Ask) -> int | None:
    """Return the number a command was given, its default without one, None where it is no usable number."""
    default, largest = NUMBERS[ask]
    if not command.arguments:
        return default
    text = command.arguments[0]
    given = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(largest)) else 0
    return given if 1 <= given <= largest else None


class Press(StrEnum):
    """What a button does."""

    CONFIRM = "ok"
    WITHDRAW = "no"
    REFRESH = "re"
    WHY = "why"
    CLOSE = "close"


_PRESSES: Mapping[str, Press] = {press.value: press for press in Press}


def button_data(press: Press, value: str) -> str:
    """Return what a button carries."""
    return f"{press}:{value}"


def read_press(data: str) -> tuple[Press, str] | None:
    """Return what a pressed button means; None for data we never made."""
    kind, _, value = data.partition(":")
    return (_PRESSES[kind], value) if kind in _PRESSES and value else None
