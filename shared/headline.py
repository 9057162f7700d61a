"""The one headline: are entries traded now, are exits, and what keeps them from it. Pure.

The same function serves dashboard, chat and command line, from the services' own documents. It must never be
green for want of data: what nobody knows is a reason, like whatever keeps an entry from being traded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Document = Mapping[str, Any]

NEEDED_FOR_ENTRIES = ("brain", "risk", "execute")
NEEDED_FOR_EXITS = ("brain", "execute")
SYMBOLS_NAMED_MAX = 5
ALARMS_NAMED_MAX = 5
DETAIL_CHARS_MAX = 200


class Weight(StrEnum):
    """What a reason means for whoever looks."""

    DANGER = "danger"  # money is exposed now
    BLOCK = "block"  # no entry is traded
    UNKNOWN = "unknown"  # nobody can tell
    NOTE = "note"  # entries are traded; somebody should look


class Entries(StrEnum):
    """Whether a good signal would be traded now."""

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Tone(StrEnum):
    """How the headline looks."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reason:
    """One thing that is not as it should be; `name` finds its words, `values` fill them in."""

    name: str
    weight: Weight
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known, as the services tell it; None for what could not be asked or is too old."""

    risk: Document | None
    """RISK's `/status`."""
    readiness: Mapping[str, Document] | None
    """Each service's `/ready`."""
    positions: Sequence[Document] | None
    """EXECUTE's positions, or the recorded ones."""
    foreign: Sequence[Document] = ()
    dead_letters: int | None = None
    alarms: Sequence[Document] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    """Why a thing above is None, by its name."""


@dataclass(frozen=True)
class Headline:
    """What is said first; `state` is RISK's trading state, None when not known."""

    entries: Entries
    exits_wait: bool
    tone: Tone
    state: str | None
    reasons: Sequence[Reason]


def headline_of(situation: Situation) -> Headline:
    """Return the headline, its reasons the gravest first."""
    order = list(Weight)
    reasons = sorted(_reasons(situation), key=lambda reason: order.index(reason.weight))
    weights = {reason.weight for reason in reasons}
    return Headline(
        entries=_entries(weights),
        exits_wait=any(not _is_ready(situation, service) for service in NEEDED_FOR_EXITS),
        tone=_tone(weights, reasons),
        state=None if situation.risk is None else situation.risk.get("state"),
        reasons=reasons,
    )


def _entries(weights: set[Weight]) -> Entries:
    if Weight.BLOCK in weights:
        return Entries.REFUSED
    return Entries.UNKNOWN if Weight.UNKNOWN in weights else Entries.TAKEN


def _tone(weights: set[Weight], reasons: Sequence[Reason]) -> Tone:
    if Weight.DANGER in weights:
        return Tone.BAD
    if Weight.BLOCK in weights:
        blocks = {reason.name for reason in reasons if reason.weight is Weight.BLOCK}
        return Tone.WARN if blocks == {"trading_reducing"} else Tone.BAD  # paused on purpose
    if Weight.UNKNOWN in weights:
        return Tone.UNKNOWN
    return Tone.WARN if weights else Tone.GOOD


def _reasons(situation: Situation) -> Iterator[Reason]:
    yield from _of_positions(situation)
    yield from _of_risk(situation)
    yield from _of_services(situation)
    yield from _of_foreign(situation.foreign)
    if situation.dead_letters:
        yield Reason("dead_letters", Weight.NOTE, {"count": str(situation.dead_letters)})
    yield from _of_alarms(situation.alarms)


def _of_positions(situation: Situation) -> Iterator[Reason]:
    if situation.positions is None:
        yield _not_known("positions", situation)
        return
    naked = [
        each["symbol"]
        for each in situation.positions
        if each.get("protected_at") is None and each.get("state") != "closing"
    ]
    if naked:
        yield Reason("unprotected", Weight.DANGER, {"symbols": _named(naked)})


def _of_risk(situation: Situation) -> Iterator[Reason]:
    risk = situation.risk
    if risk is None or "state" not in risk:
        yield _not_known("risk", situation)
        return
    if risk.get("entries_blocked_by") is None:  # an older RISK, which says the state and no more
        if risk["state"] != "ACTIVE":
            yield Reason(f"trading_{risk['state']}".lower(), Weight.BLOCK)
        yield Reason("blocks_unknown", Weight.UNKNOWN)
        return
    for block in risk["entries_blocked_by"]:
        yield Reason(str(block["reason"]), Weight.BLOCK, {name: str(value) for name, value in block.items()})
    stale = (risk.get("market") or {}).get("stale") or ()
    if stale and (risk.get("market") or {}).get("fresh"):
        yield Reason("symbols_silent", Weight.NOTE, {"symbols": _named(stale)})


def _of_services(situation: Situation) -> Iterator[Reason]:
    if situation.readiness is None:
        yield _not_known("readiness", situation)
        return
    for service, found in situation.readiness.items():
        if found.get("ready"):
            continue
        wrong = [
            f"{what}: {answer}"
            for what, answer in (found.get("dependencies") or {}).items()
            if answer != "ok"
        ]
        detail = _detail("; ".join(wrong))
        weight = Weight.BLOCK if service in NEEDED_FOR_ENTRIES else Weight.NOTE
        yield Reason("service_not_ready", weight, {"service": service.upper(), "detail": detail})
    for service in NEEDED_FOR_ENTRIES:
        if service not in situation.readiness:
            yield Reason("service_unknown", Weight.UNKNOWN, {"service": service.upper()})


def _of_foreign(foreign: Sequence[Document]) -> Iterator[Reason]:
    bare = [each["symbol"] for each in foreign if each.get("has_stop") is False]
    if bare:
        yield Reason("foreign_without_stop", Weight.NOTE, {"symbols": _named(bare)})


def _of_alarms(alarms: Sequence[Document]) -> Iterator[Reason]:
    for severity, weight in (("critical", Weight.DANGER), ("warning", Weight.NOTE)):
        names = sorted({_readable(each["name"]) for each in alarms if each["severity"] == severity})
        if names:
            shown = ", ".join(names[:ALARMS_NAMED_MAX])
            more = f" +{len(names) - ALARMS_NAMED_MAX}" if len(names) > ALARMS_NAMED_MAX else ""
            yield Reason(f"alarms_{severity}", weight, {"names": shown + more})


def _is_ready(situation: Situation, service: str) -> bool:
    return bool(situation.readiness and situation.readiness.get(service, {}).get("ready"))


def _not_known(what: str, situation: Situation) -> Reason:
    return Reason(f"{what}_unknown", Weight.UNKNOWN, {"detail": _detail(situation.faults.get(what) or "")})


def _detail(text: str) -> str:
    """Return what a service said, to stand within a sentence."""
    return text[:DETAIL_CHARS_MAX].rstrip(". ") or "-"


def _named(symbols: Sequence[str]) -> str:
    shown = ", ".join(symbols[:SYMBOLS_NAMED_MAX])
    rest = len(symbols) - SYMBOLS_NAMED_MAX
    return f"{shown} +{rest}" if rest > 0 else shown


def _readable(name: str) -> str:
    return name.replace("_", " ")
