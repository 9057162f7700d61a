"""Who may do what: the people at NOTIFY's doors, their roles, and the acts that need one.

Pure. It must never grant more than the table says; a person without a role has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.symbols import NoSymbol, symbol_of

ACTOR_CHARS_MAX = 64


class Door(StrEnum):
    """Where somebody comes in."""

    TELEGRAM = "telegram"
    DASHBOARD = "dashboard"


class Role(StrEnum):
    """What somebody is trusted with; an operator may do all that a viewer may."""

    VIEWER = "viewer"
    OPERATOR = "operator"


class Act(StrEnum):
    """What can be done through a door that changes something."""

    CLOSE = "close"
    CLOSE_ALL = "close_all"
    PAUSE = "pause"
    RESUME = "resume"
    HALT = "halt"


class Why(StrEnum):
    """Why somebody was turned away."""

    STRANGER = "stranger"
    ROLE = "role"
    UNKNOWN = "confirmation_unknown"
    EXPIRED = "confirmation_expired"
    USED = "confirmation_used"
    NOT_YOURS = "confirmation_not_yours"
    FORGED_SESSION = "forged_session"
    CROSS_SITE = "cross_site"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a reason, not a password
    TOO_OFTEN = "too_often"


@dataclass(frozen=True)
class Person:
    """Somebody who was recognised at a door; `name` is what the door knows them by."""

    door: Door
    name: str
    role: Role

    @property
    def actor(self) -> str:
        """The name in audit logs, such as `telegram:42`."""
        return f"{self.door}:{self.name}"[:ACTOR_CHARS_MAX]


@dataclass(frozen=True)
class Request:
    """An act somebody asks for; `symbol` (see `is_symbol`) for `CLOSE` and only there."""

    act: Act
    symbol: str | None = None

    def __post_init__(self) -> None:
        assert (self.symbol is not None) == (self.act is Act.CLOSE)
        assert self.symbol is None or is_symbol(self.symbol)


def is_symbol(text: str) -> bool:
    """Tell whether a text is a symbol as an exchange would spell it; which ones there are, lists say."""
    try:
        return symbol_of(text) == text
    except NoSymbol:
        return False


ROLE_NEEDED: Mapping[Act, Role] = dict.fromkeys(Act, Role.OPERATOR)
"""Every act moves money or decides whether money may move."""


def may(person: Person, act: Act) -> bool:
    """Tell whether this person's role is enough for the act."""
    return ROLE_NEEDED[act] is Role.VIEWER or person.role is Role.OPERATOR
