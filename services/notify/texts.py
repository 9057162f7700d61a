"""Every sentence NOTIFY says, in one table, so that a second language is a second table.

A line is a template over named values; a line of which a value is empty is left out. No rule lives here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter

from shared.values import Severity


@dataclass(frozen=True)
class Text:
    """The templates of one kind of notification."""

    title: str
    lines: tuple[str, ...] = ()

    def fill(self, values: Mapping[str, str]) -> tuple[str, str]:
        """Return title and body; a template that names an unknown value is a `KeyError`."""
        body = [line.format_map(values) for line in self.lines if _has_all(line, values)]
        return self.title.format_map(values), "\n".join(body)


def _has_all(template: str, values: Mapping[str, str]) -> bool:
    return all(values[name] for _, name, _, _ in Formatter().parse(template) if name)


TEXTS: Mapping[str, Text] = {
    "position_opened": Text(
        "{side} {symbol} opened: {quantity} at {entry}",
        (
            "Stop {stop}, take profit {take_profit}",
            "Leverage {leverage}x, margin {margin} USDT, risk {risk} USDT",
            "Strategy {strategy}, signal {signal}",
        ),
    ),
    "position_closed": Text(
        "{side} {symbol} closed, {reason}: {net} USDT net",
        (
            "{quantity} from {entry} to {exit} in {held}",
            "Profit {pnl}, fees {fees}, funding {funding} USDT",
            "Closed by {closed_by}",
            "Strategy {strategy}, signal {signal}",
        ),
    ),
    "order_ended": Text("Entry {symbol} {outcome}: {reason}", ("{detail}", "Signal {signal}")),
    "decision_rejected": Text(
        "{side} {symbol} {outcome}: {reason}",
        ("{refusals}", "Signal {signal}"),
    ),
    "signal_ended": Text("{symbol} {outcome}: {reason}", ("Signal {signal}",)),
    "close_ignored": Text("Close of {symbol} ignored: {reason}", ("Signal {signal}",)),
    "trading_state": Text("Trading is {state}", ("{meaning}", "By {changed_by}: {reason}")),
    "alert": Text("{kind}{of_symbol}", ("{text}",)),
}

REFUSAL = "{name}: {measured}, limit {limit}"
ALL_SYMBOLS = "all positions"
NO_PRICE = "none"

STATE_MEANINGS: Mapping[str, str] = {
    "ACTIVE": "Entries and exits are traded.",
    "REDUCING": "No entries; exits are traded.",
    "HALTED": "No entries until somebody resumes; exits are traded.",
}

MARKS: Mapping[Severity, str] = {Severity.INFO: "", Severity.WARNING: "⚠ ", Severity.CRITICAL: "🚨 "}
FOOTER = "[{time} UTC · {tail}]"
DIGEST_TITLE = "{count} messages"
DIGEST_LINE = "{time} {title} [{tail}]"
DROPPED = "{count} info messages were too old to be sent. GET /notifications has them."
