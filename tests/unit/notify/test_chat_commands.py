"""What is typed and pressed is read or refused, and who knocks is let in or kept out."""

import pytest

from services.notify.chat.commands import (
    Ask,
    Command,
    Press,
    bare_symbol,
    button_data,
    number_of,
    read,
    read_press,
    request_of,
)
from services.notify.chat.doorkeeper import KEYS_MAX, Allowance, GuestList
from services.notify.chat.vocabulary import Place
from services.notify.people import Act, Request, Role

PRIVATE = Place(42, is_private=True)
GROUP = Place(-100, is_private=False)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/status", Command("status")),
        ("  /Status  ", Command("status")),
        ("/close btcusdt", Command("close", ("btcusdt",))),
        ("/close\nall now", Command("close", ("all", "now"))),
        ("/status@PHOENIX_bot", Command("status", (), for_us=True)),
        ("/status@other_bot", None),
        ("status", None),
        ("/", None),
        ("/päuse", None),
        ("what is /status?", None),
        ("", None),
    ],
)
def test_texts_and_the_commands_in_them(text: str, command: Command | None) -> None:
    assert read(text, "phoenix_bot") == command


def test_an_endless_argument_is_cut() -> None:
    command = read("/why " + "x" * 4_000, "phoenix_bot")
    assert command is not None
    assert len(command.arguments[0]) == 64


@pytest.mark.parametrize(
    ("command", "request_"),
    [
        (Command("close", ("btcusdt",)), Request(Act.CLOSE, "BTCUSDT")),
        (Command("close", ("BINANCE:BTCUSDT.P",)), Request(Act.CLOSE, "BTCUSDT")),
        (Command("close", ("ALL",)), Request(Act.CLOSE_ALL)),
        (Command("close"), None),
        (Command("close", ("*",)), None),
        (Command("close", ("BTC\0USDT",)), None),
        (Command("halt"), Request(Act.HALT)),
    ],
)
def test_acts_and_what_they_are_about(command: Command, request_: Request | None) -> None:
    assert request_of(command) == request_


@pytest.mark.parametrize(
    ("typed", "symbol"),
    [
        ("eth/usdt", "ETHUSDT"),
        ("eth", "ETH"),
        ("binance:btcusdt.p", "BTCUSDT"),
        ("币安人生usdt", "币安人生USDT"),
        ("*", None),
        ("", None),
    ],
)
def test_symbols_are_read_as_people_write_them(typed: str, symbol: str | None) -> None:
    assert bare_symbol(typed) == symbol


@pytest.mark.parametrize(
    ("typed", "number"),
    [((), 5), (("7",), 7), (("0",), None), (("26",), None), (("-1",), None), (("٣",), None)],
)
def test_numbers_have_a_default_and_an_end(typed: tuple[str, ...], number: int | None) -> None:
    assert number_of(Command("signals", typed), Ask.SIGNALS) == number


def test_what_a_button_carries_is_read_back_and_nothing_else() -> None:
    assert read_press(button_data(Press.CONFIRM, "a:b")) == (Press.CONFIRM, "a:b")
    for forged in ("", "ok", "ok:", "boom:x", ":"):
        assert read_press(forged) is None


# --- who gets in ---


@pytest.fixture
def guests() -> GuestList:
    return GuestList(["-100"], operators={42}, viewers={7, 42})


def test_people_of_ours_have_their_role_in_our_chat_and_in_private(guests: GuestList) -> None:
    for place in (PRIVATE, GROUP):
        operator, viewer = guests.person(42, place), guests.person(7, place)
        assert operator is not None
        assert viewer is not None
        assert (operator.role, viewer.role) == (Role.OPERATOR, Role.VIEWER)
        assert operator.actor == "telegram:42"


def test_strangers_and_foreign_chats_and_lost_messages_have_nobody(guests: GuestList) -> None:
    assert guests.person(8, PRIVATE) is None
    assert guests.person(8, GROUP) is None
    assert guests.person(42, Place(-5, is_private=False)) is None
    assert guests.person(42, None) is None


def test_a_public_chat_is_known_by_its_name() -> None:
    guests = GuestList(["@Phoenix"], operators={42}, viewers=())
    assert guests.person(42, Place(-5, is_private=False, name="phoenix")) is not None
    assert guests.person(42, Place(-5, is_private=False)) is None


def test_an_allowance_is_used_up_per_key_and_comes_back() -> None:
    allowance = Allowance(2, 60)
    assert [allowance.allows(1, second) for second in (0, 1, 2)] == [True, True, False]
    assert allowance.allows(2, 2)
    assert allowance.allows(1, 60)
    assert not allowance.allows(1, 60.5)


def test_many_keys_do_not_fill_the_memory() -> None:
    allowance = Allowance(1, 60)
    assert all(allowance.allows(key, 0) for key in range(2 * KEYS_MAX))
    assert len(allowance._seen) == KEYS_MAX
