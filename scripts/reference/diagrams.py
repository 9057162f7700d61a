"""The diagrams that are made from tables: the states of an entry, the queues. Pure.

They stand in docs/ARCHITECTURE.md between `<!-- made: name -->` and `<!-- end -->`.
"""

import re
from collections.abc import Callable, Mapping

from services.execute.order_state import FINAL, TRANSITIONS, EntryState
from shared.topology import QUEUES

MEANINGS = {
    EntryState.INTENT: "approved, recorded, nothing sent",
    EntryState.SENDING: "claimed: may be at the exchange",
    EntryState.FILLED: "a position, its stop not confirmed",
    EntryState.PROTECTED: "stop and take-profit stand at the exchange",
    EntryState.CLOSING: "a close is being carried out",
    EntryState.CLOSED: "books closed with fees and funding",
    EntryState.EXPIRED: "not traded: too old or moved away",
    EntryState.FAILED: "not traded: refused, or lost",
}
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

_BLOCK = r"(<!-- made: {name} -->\n).*?(<!-- end -->)"


def entry_states() -> str:
    """Return the transition table of `order_state` as a mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {EntryState.INTENT.value}"]
    for state, successors in TRANSITIONS.items():
        lines.append(f"    {state.value}: {state.value} – {MEANINGS[state]}")
        lines += [f"    {state.value} --> {after.value}" for after in EntryState if after in successors]
    lines += [f"    {state.value} --> [*]" for state in EntryState if state in FINAL]
    return "\n".join([*lines, "```", ""])


def queues() -> str:
    """Return the topology's queues as a table."""
    lines = ["| queue | exchange | routing keys | taken by | holds at most |", "|---|---|---|---|---|"]
    for queue in QUEUES:
        keys = " ".join(f"`{key}`" for key in queue.routing_keys)
        most = f"{queue.messages_max}, drops the oldest" if queue.messages_max else "no bound"
        lines.append(f"| `{queue.name}` | `{queue.exchange}` | {keys} | {CONSUMERS[queue.name]} | {most} |")
    return "\n".join([*lines, ""])


MADE: Mapping[str, Callable[[], str]] = {"entry_states": entry_states, "queues": queues}


def refreshed(text: str) -> str:
    """Return a page with every made block in it made anew.

    Raises:
        ValueError: a block is missing.
    """
    for name, make in MADE.items():
        found = re.search(_BLOCK.format(name=name), text, re.DOTALL)
        if found is None:
            raise ValueError(f"the page has no block <!-- made: {name} --> … <!-- end -->")
        text = f"{text[: found.start()]}{found[1]}{make()}{found[2]}{text[found.end() :]}"
    return text
