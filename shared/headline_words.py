"""The words of the headline in English, and the form in which another language brings its own.

Pure. `shared.headline` says which reason there is; here stands what it means and what to do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.headline import Entries, Headline, Reason


@dataclass(frozen=True)
class Line:
    """One reason in words, and what to do about it (may be empty)."""

    what: str
    remedy: str


@dataclass(frozen=True)
class HeadlineWords:
    """A language: its titles, and for each reason what it means and what to do."""

    titles: Mapping[str, str]
    reasons: Mapping[str, tuple[str, str]]
    measure: Callable[[str], str] = str
    """Brings what RISK measured into the language."""

    def title(self, headline: Headline) -> str:
        """Return whether entries and exits are traded, in one sentence."""
        exits = "_exits_wait" if headline.exits_wait else ""
        text = self.titles[f"{headline.entries}{exits}"]
        shown = headline.state if headline.state in (None, "ACTIVE") else self.titles[str(headline.state)]
        if headline.entries is not Entries.TAKEN and shown in (None, "ACTIVE"):
            return text
        return f"{shown}: {text[:1].lower()}{text[1:]}" if shown else text

    def lines(self, headline: Headline) -> Sequence[Line]:
        """Return every reason in words."""
        return [self._line(reason) for reason in headline.reasons]

    def _line(self, reason: Reason) -> Line:
        what, remedy = self.reasons.get(reason.name, self.reasons["other"])
        values = {"reason": reason.name.replace("_", " "), "measured": "-", "limit": "-", **reason.values}
        values["reason"] = reason.name.replace("_", " ")
        filled = {name: self.measure(value) for name, value in values.items()}
        return Line(what.format_map(filled), remedy)


TITLES: Mapping[str, str] = {
    "taken": "Entries and exits are traded",
    "taken_exits_wait": "Entries are taken, but exits may wait",
    "refused": "No new entries are traded; exits are",
    "refused_exits_wait": "No new entries are traded, and exits wait",
    "unknown": "Not known whether entries are traded",
    "unknown_exits_wait": "Not known whether entries are traded; exits may wait",
    "REDUCING": "PAUSED",
    "HALTED": "HALTED",
}
LOOK = "phoenix.py doctor names what is wrong and how to mend it."
REASONS: Mapping[str, tuple[str, str]] = {
    "unprotected": (
        "Without a stop on the exchange: {symbols}.",
        "Phoenix places the stop or closes within seconds. If this stays, close by yourself.",
    ),
    "trading_reducing": ("Trading is paused.", "Resume when you want entries again."),
    "trading_halted": ("Trading is halted.", "Find out why (audit log), then resume."),
    "daily_loss": (
        "The day's loss is {measured}; entries need it {limit}.",
        "Entries are traded again after midnight UTC. Open positions keep their stops.",
    ),
    "drawdown": (
        "The drawdown is {measured}; entries need it {limit}.",
        "Look at what lost before you reset the baseline (RUNBOOK, TradingHalted).",
    ),
    "positions_max": (
        "{measured} positions are open; the limit is {limit}.",
        "One has to close.",
    ),
    "portfolio_risk_max": (
        "The combined risk at the stops is {measured}; the limit is {limit}.",
        "One position has to close, or its stop to move up.",
    ),
    "entries_per_day_max": (
        "{measured} entries today; the limit is {limit}.",
        "Entries are traded again after midnight UTC.",
    ),
    "entries_per_minute_max": (
        "{measured} entries within a minute; the limit is {limit}.",
        "Entries are traded again in moments.",
    ),
    "free_balance": ("The free balance is {measured}.", "Close a position, or transfer more."),
    "account_empty": ("The account is empty: {measured}.", "Transfer USDT to the futures wallet."),
    "disk_space_low": (
        "A disk is nearly full: {measured} free, {limit} are needed.",
        "Make room there; entries are traded again at once (TROUBLESHOOTING).",
    ),
    "account_data_stale": (
        "The account was last reported {measured} ago; the limit is {limit}.",
        "EXECUTE reports it every few seconds: is it running, and does the exchange answer? " + LOOK,
    ),
    "market_data_stale": (
        "No symbol has a fresh price (newest: {measured}, limit {limit}).",
        "Is the market feed running, and does Redis answer? " + LOOK,
    ),
    "symbols_silent": ("No fresh price: {symbols}. Their entries are refused.", ""),
    "service_not_ready": ("{service} is not ready: {detail}.", LOOK),
    "service_unknown": ("{service} was not asked.", LOOK),
    "risk_unknown": ("RISK does not tell its state: {detail}.", LOOK),
    "blocks_unknown": ("RISK does not tell what refuses entries.", "It is of an older version: upgrade it."),
    "readiness_unknown": ("Nobody tells whether the services are ready: {detail}.", LOOK),
    "positions_unknown": (
        "The open positions are not known: {detail}.",
        "Look at the exchange. " + LOOK,
    ),
    "foreign_without_stop": (
        "Not ours and without a stop: {symbols}.",
        "Phoenix does not touch it: place a stop at the exchange, or close it there.",
    ),
    "dead_letters": (
        "{count} messages were set aside as dead letters.",
        "phoenix.py dlq list shows them; replay or purge them.",
    ),
    "alarms_critical": ("Critical alarm: {names}.", "Overview lists the active alarms with their text."),
    "alarms_warning": ("Warning: {names}.", "Overview lists the active alarms with their text."),
    "other": ("Entries are refused: {reason} ({measured}, limit {limit}).", LOOK),
}

ENGLISH = HeadlineWords(TITLES, REASONS)
