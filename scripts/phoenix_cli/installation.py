"""Where the running Phoenix is: its home, the addresses of its services, and the keys to them.

Read from `phoenix.env` in the home; the process environment wins. It must never show a secret: they are kept
in a type that prints as asterisks.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from scripts.phoenix_cli.failures import Unreachable

REPOSITORY = Path(__file__).resolve().parents[2]
HOME_VARIABLE = "PHOENIX_HOME"
HOME_NAME = ".phoenix"
SETTINGS_FILES = ("phoenix.env", "run/overrides.env")
"""Later ones win; the second holds what was set for the current run only."""
PREFIX = "PHOENIX_"

SERVICES = ("brain", "risk", "execute", "notify")


@dataclass(frozen=True)
class Installation:
    """One installation of Phoenix, as far as the command line has to know it."""

    home: Path
    settings: Mapping[str, SecretStr]

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
            raise Unreachable(
                f"{key} is not known",
                f"It stands neither in {self.home / SETTINGS_FILES[0]} nor in the environment. "
                "Start Phoenix with ./scripts/start.sh, or name its home with --home.",
            )
        return found.get_secret_value()

    @property
    def management_url(self) -> str | None:
        """The broker's management API with its credentials, if there is one."""
        found = self.settings.get("PHOENIX_AMQP_MANAGEMENT_URL")
        return found.get_secret_value() if found is not None else None

    @property
    def env_files(self) -> tuple[Path, ...]:
        """The settings files that exist."""
        return tuple(path for name in SETTINGS_FILES if (path := self.home / name).is_file())


def find_installation(home: Path | None) -> Installation:
    """Return the installation in `home`, else in $PHOENIX_HOME, else in ./.phoenix or the repository's.

    Without a settings file the environment alone may say where everything is.
    """
    chosen = home or _home_of_environment() or _nearest_home()
    values: dict[str, SecretStr] = {}
    for name in SETTINGS_FILES:
        path = chosen / name
        if path.is_file():
            found = dotenv_values(path, interpolate=False)
            values |= {key: SecretStr(value) for key, value in found.items() if value}
    values |= {key: SecretStr(value) for key, value in os.environ.items() if key.startswith(PREFIX) and value}
    return Installation(chosen, values)


def _home_of_environment() -> Path | None:
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else None


def _nearest_home() -> Path:
    here = Path.cwd() / HOME_NAME
    return here if (here / SETTINGS_FILES[0]).is_file() else REPOSITORY / HOME_NAME
