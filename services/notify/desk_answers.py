"""What the operator's desk answers at each step of an act. Values only."""

from dataclasses import dataclass
from datetime import datetime

from services.notify.people import Request, Why


@dataclass(frozen=True)
class Proposal:
    """The first step is done: confirm with `token` before `expires_at`."""

    request: Request
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Refused:
    """Nothing was done."""

    why: Why


@dataclass(frozen=True)
class Performed:
    """The service took it; `reference` leads to what came of it (a request id), empty where there is none."""

    request: Request
    reference: str = ""


@dataclass(frozen=True)
class Failed:
    """The service refused or did not answer; with `may_be_done` nobody knows, so look before asking again."""

    request: Request
    detail: str
    may_be_done: bool
