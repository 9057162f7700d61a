"""How a command ends badly, and the exit codes that scripts may rely on. Knows no command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell gets. These numbers never change."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3


EXIT_CODES_HELP = (
    "Exit codes: 0 done · 1 refused, or not ready · 2 wrong usage · 3 Phoenix cannot be reached."
)


class Failure(Exception):
    """A command cannot do what it was asked; says what was wrong and what to do."""

    code = ExitCode.REFUSED

    def __init__(self, title: str, detail: str, status: int | None = None) -> None:
        super().__init__(f"{title}: {detail}")
        self.title = title
        self.detail = detail
        self.status = status


class Refused(Failure):
    """A service said no, or the answer is not what was hoped for."""


class WrongUsage(Failure):
    """The arguments do not go together."""

    code = ExitCode.USAGE


class Unreachable(Failure):
    """Nobody answers, or it is not known where."""

    code = ExitCode.UNREACHABLE
