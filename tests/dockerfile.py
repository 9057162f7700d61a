"""The Dockerfile as data: its stages with their instructions, and what `.dockerignore` lets through."""

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch

from infrastructure.local.layout import REPOSITORY

DOCKERFILE = "deployment/Dockerfile"


@dataclass
class Stage:
    """One `FROM` and what follows it."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, kind: str) -> list[str]:
        """Return the arguments of every instruction of a kind."""
        return [arguments for instruction, arguments in self.instructions if instruction == kind]

    def environment(self) -> dict[str, str]:
        """Return the variables the stage sets."""
        pairs = (pair.partition("=") for text in self.all("ENV") for pair in shlex.split(text))
        return {name: value for name, _, value in pairs}


def stages() -> list[Stage]:
    """Return the stages of the Dockerfile, arguments of the build replaced by their defaults."""
    text = (REPOSITORY / DOCKERFILE).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()
    defaults: dict[str, str] = {}
    found: list[Stage] = []
    for line in joined:
        instruction, _, arguments = line.partition(" ")
        if instruction == "ARG":
            name, _, value = arguments.partition("=")
            defaults[name] = value
        elif instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found.append(Stage(re.sub(r"\$\{(\w+)\}", lambda m: defaults[m[1]], base), name))
        else:
            found[-1].instructions.append((instruction, arguments))
    return found


def exec_form(arguments: str) -> list[str]:
    """Return a command in exec form; ValueError when it is in shell form."""
    command = json.loads(arguments)
    if not isinstance(command, list):
        raise ValueError(f"not in exec form: {arguments}")
    return [str(part) for part in command]


def is_in_context(path: str) -> bool:
    """Tell whether `.dockerignore` lets a path through; the last rule that fits decides."""
    included = True
    for rule in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.removeprefix("!")
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        names = [*heads, *parts] if pattern.startswith("**/") else heads
        if any(fnmatch(name, pattern.removeprefix("**/")) for name in names):
            included = rule.startswith("!")
    return included
