"""What the tables of EXECUTE say, as text: the generated parts of docs/EXECUTION.md.

`python -m services.execute.explained` writes them; a test keeps the page and the tables equal. It must never
be asked by code that trades.
"""

from collections.abc import Mapping

from services.execute.call_gate import (
    AFTER_BAN_S,
    FAILURES_MAX,
    LIMITS,
    OPEN_S,
    SHARES,
    WINDOWS_S,
    Urgency,
)
from services.execute.error_classes import BY_CODE, NOT_EXECUTED_TEXTS, ErrorKind
from services.execute.order_state import FINAL, TRANSITIONS, EntryState

WHEN: Mapping[tuple[EntryState, EntryState], str] = {
    (EntryState.INTENT, EntryState.SENDING): "claimed",
    (EntryState.INTENT, EntryState.EXPIRED): "late, halted, superseded, price moved, symbol busy",
    (EntryState.SENDING, EntryState.FILLED): "filled, wholly or in part",
    (EntryState.SENDING, EntryState.EXPIRED): "nothing filled within the limit",
    (EntryState.SENDING, EntryState.FAILED): "refused, surely not executed, or not to be found",
    (EntryState.FILLED, EntryState.PROTECTED): "stop and target stand",
    (EntryState.FILLED, EntryState.CLOSING): "budget used up, price past the stop, or an exit",
    (EntryState.FILLED, EntryState.CLOSED): "gone before it was protected",
    (EntryState.PROTECTED, EntryState.CLOSING): "exit, operator, reversal, stop not restorable",
    (EntryState.PROTECTED, EntryState.CLOSED): "stop, target, hand, liquidation, ADL, settlement",
    (EntryState.CLOSING, EntryState.CLOSED): "position gone, twin cancelled, fills read",
    (EntryState.FAILED, EntryState.FILLED): "given up as unknown, filled after all: adopted",
}

WHAT_WE_DO: Mapping[ErrorKind, tuple[str, str]] = {
    ErrorKind.NOT_EXECUTED: ("ends as failed(exchange_unavailable)", "tried again"),
    ErrorKind.UNKNOWN: ("looked up by client id, never sent again", "the position is read, then tried again"),
    ErrorKind.REFUSED: (
        "ends as failed(exchange_refused)",
        "tried again; what cannot be protected is closed",
    ),
    ErrorKind.DUPLICATE_ID: ("ours is there: looked up", "ours is there: counts as placed"),
    ErrorKind.WOULD_TRIGGER: ("does not happen", "the position is closed at market"),
    ErrorKind.NOT_FOUND: ("looked for again until the window is over", "nothing to cancel: fine"),
    ErrorKind.NOTHING_TO_REDUCE: ("does not happen", "the position is read; gone: the books are closed"),
    ErrorKind.ALREADY_SO: ("fine", "fine"),
    ErrorKind.STOP_CALLING: (
        "ends as failed(exchange_unavailable)",
        "waits for the ban to end, then goes first",
    ),
    ErrorKind.STALE_RULES: (
        "the symbol's rules are read again and it is sent once more, else failed(exchange_refused)",
        "the symbol's rules are read again, then tried in another form",
    ),
    ErrorKind.CLOCK_SKEW: ("ends as failed(clock_skew)", "the clock is measured, then tried again"),
}

_BEGIN, _END = "<!-- generated: {name} -->\n", "<!-- /generated: {name} -->\n"


def states() -> str:
    """Return the life of an entry as a diagram."""
    edges = [
        f"    {state} --> {after}: {WHEN[state, after]}"
        for state, following in TRANSITIONS.items()
        for after in EntryState
        if after in following
    ]
    ends = [f"    {state} --> [*]" for state in EntryState if state in FINAL]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> intent", *edges, *ends, "```"]) + "\n"


def errors() -> str:
    """Return how answers of the exchange are read, and what follows."""
    rows = [
        f"| `{kind}` | {_told_by(kind)} | {entry} | {other} |" for kind, (entry, other) in WHAT_WE_DO.items()
    ]
    head = ["| kind | told by | an entry | an exit, a stop or a target |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def budgets() -> str:
    """Return what the exchange grants, and who has to yield when."""
    rows = [
        f"| `{budget}` | {LIMITS[budget]} in {WINDOWS_S[budget]:.0f} s | "
        f"{_share(shares, Urgency.ENTRY)} | {_share(shares, Urgency.READ)} | never |"
        for budget, shares in SHARES.items()
    ]
    entries, reads = (f"until {AFTER_BAN_S[each]:.0f} s after it" for each in (Urgency.ENTRY, Urgency.READ))
    ban = f"| a ban (429, 418) | for `Retry-After` | {entries} | {reads} | until its end |"
    limit = f"{FAILURES_MAX} failures in a row, for {OPEN_S:.0f} s"
    breaker = f"| the circuit breaker | {limit} | while it is open | never | never |"
    head = ["| held back by | limit until the exchange tells its own | entries | reads | exits |"]
    return "\n".join([*head, "|---|---|---|---|---|", *rows, ban, breaker]) + "\n"


PARTS = {"states": states, "errors": errors, "budgets": budgets}


def renewed(page: str) -> str:
    """Return the page with its generated parts as the tables have them now."""
    for name, make in PARTS.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{make()}\n{end}{after}"
    return page


def _share(shares: Mapping[Urgency, float], urgency: Urgency) -> str:
    return f"from {shares[urgency]:.0%} on" if urgency in shares else "never"


def _told_by(kind: ErrorKind) -> str:
    codes = [str(code) for code, its_kind in BY_CODE.items() if its_kind is kind]
    return ", ".join([*codes, *_BY_STATUS.get(kind, ())]) or "-"


_BY_STATUS: Mapping[ErrorKind, tuple[str, ...]] = {
    ErrorKind.NOT_EXECUTED: (
        "no connection was made",
        *(f'503 "{text}"' for text in sorted(NOT_EXECUTED_TEXTS)),
    ),
    ErrorKind.UNKNOWN: ("no answer", "408", "any other 5xx"),
    ErrorKind.REFUSED: ("any other 4xx",),
    ErrorKind.STOP_CALLING: ("429", "418", "403 of the firewall in front"),
}


def main() -> None:
    """Bring docs/EXECUTION.md up to date."""
    from pathlib import Path  # only the generator touches a file

    target = Path(__file__).parents[2] / "docs" / "EXECUTION.md"
    target.write_text(renewed(target.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
