"""Settings that every service has, read once at start from the environment and the files it names.

`PHOENIX_ENV_FILE` lists env files, separated by `:`; later ones win, the process environment wins over all.
Secrets are `SecretStr`: they print as asterisks everywhere. Nothing else in Phoenix reads the environment.
"""

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

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


class Settings(BaseSettings):
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
    arguments: dict[str, Any] = {"_env_file": env_files()}
    try:
        return kind(**arguments)
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
