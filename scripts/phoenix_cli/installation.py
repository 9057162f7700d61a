"""Where the running Phoenix is: its home, the addresses of its services, and the keys to them.

Read as the services read it: the settings files in order, later ones win, and the process environment wins
over all. What cannot be read is left out and kept as a fault: a bad line must not keep anybody from closing
positions. It must never show a secret: they are kept in a type that prints as asterisks.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from scripts.phoenix_cli.failures import Unreachable
from shared.settings_files import FaultyLine, look

REPOSITORY = Path(__file__).resolve().parents[2]
HOME_VARIABLE = "PHOENIX_HOME"
ENV_FILES_VARIABLE = "PHOENIX_ENV_FILE"
HOME_NAME = ".phoenix"
SETTINGS_FILE = "phoenix.env"
USER_FILE = REPOSITORY / ".env"
"""The user's own settings; they win over what the first start wrote."""
OVERRIDES_FILE = "run/overrides.env"
"""What was set for the current run only; wins over both."""
PREFIX = "PHOENIX_"
ENVIRONMENT = "environment"
"""The source of a setting that comes from the shell."""

SERVICES = ("brain", "risk", "execute", "notify")
FEED = "market_feed"
PROCESSES = (*SERVICES, FEED)
"""Everything that has to be ready: without the feed no entry is taken."""


@dataclass(frozen=True)
class Installation:
    """One installation of Phoenix, as far as the command line has to know it.

    `env_files` are the settings files that exist, later ones win; `sources` says of each setting where the
    value in force comes from, `lines` on which line of that file; `faults` is what could not be read.
    """

    home: Path
    settings: Mapping[str, SecretStr]
    env_files: tuple[Path, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[FaultyLine, ...] = ()

    def url(self, name: str) -> str:
        """Return the address of a service, or `public` for the webhook.

        Raises:
            Unreachable: the address is not set.
        """
        return self.value(f"{PREFIX}{name.upper()}_URL").rstrip("/")

    def value(self, key: str) -> str:
        """Return a setting that a command cannot do without.

        Raises:
            Unreachable: it is not set.
        """
        found = self.settings.get(key)
        if found is None:
            unread = "".join(f"{each}\n" for each in self.faults if each.fault.is_serious)
            raise Unreachable(
                f"{key} is not known",
                f"{unread}"
                f"It stands neither in {self.home / SETTINGS_FILE} nor in {USER_FILE} nor in the shell. "
                "Start Phoenix with ./scripts/start.sh, or name its home with --home.",
            )
        return found.get_secret_value()

    def place(self, key: str) -> str:
        """Return where the value in force comes from, with its line."""
        source = self.sources.get(key, ENVIRONMENT)
        return f"{source}, line {self.lines[key]}" if key in self.lines else source

    def text(self, key: str) -> str | None:
        """Return a setting, None when it is not set."""
        found = self.settings.get(key)
        return None if found is None else found.get_secret_value()

    @property
    def management_url(self) -> str | None:
        """The broker's management API with its credentials, if there is one."""
        return self.text("PHOENIX_AMQP_MANAGEMENT_URL")

    @contextmanager
    def read_by_services(self) -> Iterator[None]:
        """Let the services' own settings classes read this installation's files while the block runs."""
        before = os.environ.get(ENV_FILES_VARIABLE)
        os.environ[ENV_FILES_VARIABLE] = ":".join(map(str, self.env_files))
        try:
            yield
        finally:
            if before is None:
                del os.environ[ENV_FILES_VARIABLE]
            else:
                os.environ[ENV_FILES_VARIABLE] = before


def find_installation(home: Path | None) -> Installation:
    """Return the installation in `home`, else in $PHOENIX_HOME, else in ./.phoenix or the repository's.

    $PHOENIX_ENV_FILE names the files instead, as it does for a service, unless `home` is given. Without a
    settings file the environment alone may say where everything is.
    """
    chosen = home or _home_of_environment() or _nearest_home()
    values: dict[str, SecretStr] = {}
    sources: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: list[FaultyLine] = []
    files = tuple(path for path in _candidates(home, chosen) if path.exists())
    for path in files:
        found = look(path)
        values |= {key: SecretStr(value) for key, value in found.values.items()}
        sources |= dict.fromkeys(found.values, str(path))
        lines |= found.lines
        faults += [FaultyLine(path, fault) for fault in found.faults]
    named = {key.upper(): value for key, value in os.environ.items()}  # a service minds no case either
    shell = {key: value for key, value in named.items() if key.startswith(PREFIX)}
    values |= {key: SecretStr(value) for key, value in shell.items()}
    sources |= dict.fromkeys(shell, ENVIRONMENT)
    lines = {key: line for key, line in lines.items() if key not in shell}
    # An empty line takes away what an earlier file had set, for a service too.
    in_force = {key: value for key, value in values.items() if value}
    return Installation(chosen, in_force, files, sources, lines, tuple(faults))


def _candidates(given_home: Path | None, chosen: Path) -> tuple[Path, ...]:
    named = os.environ.get(ENV_FILES_VARIABLE)
    if given_home is None and named:
        return tuple(Path(name) for name in named.split(":") if name)
    return chosen / SETTINGS_FILE, USER_FILE, chosen / OVERRIDES_FILE


def _home_of_environment() -> Path | None:
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else None


def _nearest_home() -> Path:
    here = Path.cwd() / HOME_NAME
    return here if (here / SETTINGS_FILE).is_file() else REPOSITORY / HOME_NAME
