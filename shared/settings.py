"""Settings that every service has, read once at start from the environment and the files it names.

`PHOENIX_ENV_FILE` lists settings files, separated by `:`; later ones win, the process environment wins over
all. What a file says is decided by `shared.settings_text`, for the command line and the start as well.
Secrets are `SecretStr`: they print as asterisks everywhere. Nothing else in Phoenix reads the environment.
"""

import os
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from shared import settings_files
from shared.errors import OperatorNeeded

ENV_PREFIX = "PHOENIX_"
ENV_FILES_VARIABLE = "PHOENIX_ENV_FILE"

SettingsT = TypeVar("SettingsT", bound="Settings")


def listed(value: object) -> object:
    """Split a text at its commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(listed)]
"""Addresses or networks, separated by commas."""

LOOPBACK = (IPv4Network("127.0.0.1"), IPv6Network("::1"))


class SettingsFilesSource(DotEnvSettingsSource):
    """The files that `PHOENIX_ENV_FILE` lists, as everybody reads them, instead of pydantic's own reading."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, env_file=env_files())

    def _read_env_files(self) -> Mapping[str, str | None]:
        values: dict[str, str | None] = {}
        for name in env_files():
            values |= {key.lower(): value for key, value in settings_files.read(Path(name)).items()}
        return values


class FileSettings(BaseSettings):
    """Settings from the environment and the settings files that it names."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from, the strongest first.

        Raises:
            OperatorNeeded: something in a file cannot be read.
        """
        return init_settings, env_settings, SettingsFilesSource(settings_cls)


class Settings(FileSettings):
    """What every service needs to know."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    mode: Literal["paper", "demo", "live"] = Field("paper", description="What the exchange behind us is.")
    installation: str = Field(
        "local",
        pattern="^[a-z2-7]{1,6}$",
        description="Marks our orders on the exchange; one per installation.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )
    amqp_url: SecretStr = Field(description="The broker: amqp://user:password@host:port/%2Ftrading")
    redis_url: SecretStr = Field(description="Redis: redis://:password@host:port/0")
    postgres_url: str = Field(
        description="The database: postgresql://host:port/database, without user and password."
    )
    api_key: SecretStr = Field(min_length=16, description="Key of the operator endpoints (X-API-Key).")
    crash_points: Path | None = Field(
        None, description="Tests only, mode paper only: directory in which crash points are armed."
    )

    clock_steps: Path | None = Field(
        None, description="Tests only, mode paper only: directory in which clocks of processes are set wrong."
    )

    @model_validator(mode="after")
    def _test_switches_are_for_paper(self) -> Self:
        for name in ("crash_points", "clock_steps"):
            if getattr(self, name) is not None and self.mode != "paper":
                raise ValueError(f"PHOENIX_{name.upper()} is for tests in mode paper: remove it")
        return self


def env_files() -> tuple[str, ...]:
    """Return the env files named by `PHOENIX_ENV_FILE`, in order; missing ones are skipped by the reader."""
    return tuple(name for name in os.environ.get(ENV_FILES_VARIABLE, "").split(":") if name)


def load(kind: type[SettingsT]) -> SettingsT:
    """Read the settings of one service.

    Raises:
        OperatorNeeded: a setting is missing or out of range; the message names each and what is wrong.
    """
    from_outside: dict[str, Any] = {}  # no argument: everything comes from the environment and the files
    try:
        return kind(**from_outside)
    except SettingsError as error:  # a list or table that is not JSON; the message names the field
        raise OperatorNeeded(f"settings are not usable: {error}") from None
    except ValidationError as error:
        lines = [
            f"  {_place(item['loc'])}{item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False)
        ]
        raise OperatorNeeded("settings are not usable:\n" + "\n".join(lines)) from None


def _place(location: tuple[int | str, ...]) -> str:
    """Return the setting a fault is about; a rule about several names them itself."""
    return f"{ENV_PREFIX}{'_'.join(map(str, location)).upper()}: " if location else ""


def masked(url: str) -> str:
    """Return `url` without its user information, for logs."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}{parts.path}"
