"""The project's own source as data: modules, their syntax trees, and what a rule found in them."""

import ast
import gc
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
PRODUCTION = ("services", "shared", "infrastructure", "scripts")

PURE_CONTRACT = "Rules are pure"


@dataclass(frozen=True)
class Module:
    """One Python file."""

    path: str
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Its dotted name."""
        return self.path.removesuffix(".py").replace("/", ".")

    def calls(self) -> Iterator[tuple[str, ast.Call]]:
        """Yield every call with what is called, as it is written: `asyncio.sleep`, `float`, `.labels`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                yield _written(node.func), node

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Yield every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@dataclass(frozen=True)
class Finding:
    """A place that breaks a rule."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


Rule = Callable[[Module], Iterable[tuple[int, str]]]


def _parsed(text: str) -> ast.Module:
    """Parse with the garbage collector at rest.

    Debian 12's Python (3.11.2) fails with "AST constructor recursion depth mismatch" when a collection runs
    code
    in the middle of a parse (CPython gh-106905), which after two thousand tests it now and then does.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        if was_enabled:
            gc.enable()


@cache
def tracked(*suffixes: str) -> tuple[str, ...]:
    """Return the files of the project that end so, as git knows them; what is not added yet counts too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    ).stdout.splitlines()
    return tuple(name for name in sorted(listed) if name.endswith(suffixes) and (REPOSITORY / name).is_file())


@cache
def modules(*roots: str) -> tuple[Module, ...]:
    """Return the Python modules below these folders."""
    texts = {
        path: (REPOSITORY / path).read_text(encoding="utf-8")
        for path in tracked(".py")
        if path.split("/", 1)[0] in roots
    }
    return tuple(Module(path, text, _parsed(text)) for path, text in texts.items())


@cache
def rule_modules() -> tuple[Module, ...]:
    """Return the pure modules, as the import contract names them."""
    configuration = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    (names,) = [each["source_modules"] for each in contracts if each["name"].startswith(PURE_CONTRACT)]
    return tuple(module for module in modules(*PRODUCTION) if module.name in names)


def broken(rule: Rule, among: Iterable[Module], excused: Mapping[str, str] | None = None) -> list[Finding]:
    """Return what breaks the rule, except in the excused files; an excuse without need breaks it too."""
    findings = [Finding(module.path, line, what) for module in among for line, what in rule(module)]
    excuses = excused or {}
    needed = {finding.path for finding in findings}
    idle = [Finding(path, 0, "is excused and need not be") for path in excuses if path not in needed]
    return [finding for finding in findings if finding.path not in excuses] + idle


def told(findings: Iterable[Finding]) -> str:
    """Return the findings as lines for an assertion."""
    return "\n" + "\n".join(map(str, findings))


def _written(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _written(node.value)
        return f"{inner}.{node.attr}" if inner else f".{node.attr}"
    return ""
