"""The parts of docs/ARCHITECTURE.md that are made from the code: states, queues, what each module knows.

They stand between `<!-- generated: name -->` and `<!-- /generated: name -->`. It reads source files only.
"""

import ast
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from services.execute.explained import states
from shared.topology import QUEUES

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "services/brain",
    "services/risk",
    "services/execute",
    "services/notify",
    "services/notify/chat",
    "services/notify/daily",
    "services/notify/dashboard",
    "services/notify/telling",
    "shared",
    "infrastructure/paper_exchange",
    "infrastructure/local",
    "infrastructure/postgres",
    "infrastructure/nginx_lb",
    "infrastructure/monitoring",
    "infrastructure/containers",
    "infrastructure/drill",
    "scripts/phoenix_cli",
    "scripts/reference",
)
CONSUMERS = {
    "signal_processing": "BRAIN",
    "risk_assessment": "RISK",
    "trade_execution": "EXECUTE",
    "trade_control": "EXECUTE",
    "risk_alerts": "NOTIFY",
    "brain_facts": "BRAIN",
    "risk_facts": "RISK",
    "notify_facts": "NOTIFY",
}

_BEGIN, _END = "<!-- generated: {name} -->\n", "<!-- /generated: {name} -->\n"


def queues() -> str:
    """Return the topology's queues as a table."""
    lines = ["| queue | exchange | routing keys | taken by | at once | holds |", "|---|---|---|---|---|---|"]
    for queue in QUEUES:
        keys = " ".join(f"`{key}`" for key in queue.routing_keys)
        most = f"{queue.messages_max}, then drops the oldest" if queue.messages_max else "everything"
        taken_by = CONSUMERS[queue.name]
        lines.append(
            f"| `{queue.name}` | `{queue.exchange}` | {keys} | {taken_by} | {queue.prefetch} | {most} |"
        )
    return "\n".join([*lines, ""])


def modules() -> str:
    """Return, per package, each module with the first sentence of its docstring."""
    parts: list[str] = []
    for package in PACKAGES:
        parts += [f"### {package}", "", "| module | what it knows |", "|---|---|"]
        parts += [f"| [`{path.name}`](../{package}/{path.name}) | {said} |" for path, said in _said(package)]
        parts.append("")
    return "\n".join(parts)


PARTS: Mapping[str, Callable[[], str]] = {"states": states, "queues": queues, "modules": modules}


def renewed(page: str) -> str:
    """Return the page with its generated parts as the code has them now.

    Raises:
        ValueError: the page has no place for a part.
    """
    for name, make in PARTS.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, found, rest = page.partition(begin)
        _, found_end, after = rest.partition(end)
        if not found or not found_end:
            raise ValueError(f"the page has no place for {name}: {begin.strip()} … {end.strip()}")
        page = f"{before}{begin}\n{make()}\n{end}{after}"
    return page


def _said(package: str) -> Iterable[tuple[Path, str]]:
    for path in sorted((REPOSITORY / package).glob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if path.name not in ("__init__.py", "__main__.py"):
            yield path, _first_sentence(docstring)


def _first_sentence(docstring: str) -> str:
    text = " ".join(docstring.split("\n\n")[0].split())
    end = text.find(". ")
    return (text if end < 0 else text[: end + 1]).replace("|", "\\|")
