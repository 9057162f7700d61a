"""The compose files as data: read, merged and interpolated as the compose specification says.

`docker compose config` would say the same; no engine is needed here. Only the forms that our files use are
understood, and anything else is an error.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infrastructure.local.layout import REPOSITORY

BASE = "docker-compose.yml"
DEV, PROD, HA = (f"deployment/docker-compose.{name}.yml" for name in ("dev", "prod", "ha"))
ENV_EXAMPLE = "deployment/.env.example"
FILES = (BASE, DEV, PROD, HA)
STACKS: Mapping[str, tuple[str, ...]] = {
    "base": (BASE,),
    "dev": (BASE, DEV),
    "prod": (BASE, PROD),
    "ha": (BASE, HA),
    "prod+ha": (BASE, PROD, HA),
}
"""The ways in which the files are laid over one another."""

Tree = dict[str, Any]

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\})")
_REPLACED = frozenset({"command", "entrypoint", "test"})
"""Sequences that an overlay replaces; all others are added to."""


class MissingVariableError(Exception):
    """A variable is not set and has no default."""


@cache
def _text(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def read(path: str) -> Tree:
    """Return a file as it stands, without the anchors' templates."""
    tree = yaml.safe_load(_text(path))
    return {key: value for key, value in tree.items() if not key.startswith("x-")}


def variables(path: str) -> set[str]:
    """Return the names that a file interpolates."""
    uncommented = "\n".join(
        line.split(" #")[0] for line in _text(path).splitlines() if line.strip()[:1] != "#"
    )
    return {match["name"] for match in _VARIABLE.finditer(uncommented) if match["name"]}


def project(*paths: str, environment: Mapping[str, str] | None = None) -> Tree:
    """Return what `docker compose -f … -f …` would run."""
    merged: Tree = {}
    for path in paths:
        merged = _merged(merged, _normal(read(path)))
    found: Tree = _filled(merged, environment or {})
    return found


def services(*paths: str, environment: Mapping[str, str] | None = None) -> dict[str, Tree]:
    """Return the services of a project by name."""
    found: dict[str, Tree] = project(*paths, environment=environment)["services"]
    return found


def mounts(service: Tree) -> dict[str, tuple[str, bool]]:
    """Return where each target comes from, and whether it may be written."""
    parts = [entry.split(":") for entry in service.get("volumes", [])]
    return {part[1]: (part[0], part[2:] != ["ro"]) for part in parts}


def needs(service: Tree) -> dict[str, str]:
    """Return what a service waits for, with the condition."""
    return {name: each["condition"] for name, each in service.get("depends_on", {}).items()}


def waves(found: Mapping[str, Tree]) -> list[list[str]]:
    """Return the services in waves, each after those it needs; a circle is an error."""
    left, sorted_names = dict(found), []
    while left:
        ready = [name for name, service in left.items() if not set(needs(service)) & set(left)]
        if not ready:
            raise ValueError(f"these wait for one another: {sorted(left)}")
        sorted_names.append(ready)
        left = {name: service for name, service in left.items() if name not in ready}
    return sorted_names


def _normal(tree: Tree) -> Tree:
    """Bring what may be written in two ways into one."""
    for service in tree.get("services", {}).values():
        networks = service.get("networks", {})
        if isinstance(networks, list):
            service["networks"] = {name: {} for name in networks}
    return tree


def _merged(under: Any, over: Any, key: str = "") -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        both = {name: _merged(under[name], over[name], name) for name in under if name in over}
        return under | over | both
    if isinstance(under, list) and isinstance(over, list) and key not in _REPLACED:
        if key == "volumes":  # one mount per target
            targets = {entry.split(":")[1] for entry in over}
            under = [entry for entry in under if entry.split(":")[1] not in targets]
        return under + [entry for entry in over if entry not in under]
    return over


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, environment) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, environment) for each in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: _value(match, environment), value)
    return value


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    if match["name"] is None:
        return "$"
    given = environment.get(match["name"], "")
    if given:
        return given
    if match["kind"] == "-":
        return match["rest"]
    raise MissingVariableError(f"{match['name']}: {match['rest'] or 'is not set'}")


def path_in_repository(source: str) -> Path:
    """Return the file or directory that a bind mount names."""
    assert source.startswith("./"), source
    return REPOSITORY / source
