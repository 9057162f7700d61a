"""From the recorded stories of signals to latencies and hops.

The moments are those of the facts themselves: BRAIN's, RISK's and EXECUTE's clocks, PostgreSQL's (`claimed`)
and the exchange's (`accepted`: whole milliseconds, cut off, so up to 1 ms too early). All of them are one
machine's clock, the load generator's too. `protected` is read when the answers to stop and take-profit have
come, the fill is committed and a statement has recorded the protection: it is late by those.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from shared.database import Database
from shared.models import (
    AnalysisCompleted,
    OrderPlaced,
    ProtectionPlaced,
    SignalReceived,
    TradeApproved,
)

Moments = Mapping[str, int]
"""Microseconds since the epoch by the name of the moment, for one signal; `due` is when it should have left.
"""


class Moment(NamedTuple):
    """Where a moment stands: in the envelope's `occurred_at`, or in a field of its payload."""

    name: str
    schema: str
    field: tuple[str, ...] = ()


MOMENTS = (
    Moment("received", SignalReceived.SCHEMA),
    Moment("analysed", AnalysisCompleted.SCHEMA),
    Moment("decided", TradeApproved.SCHEMA),
    Moment("claimed", OrderPlaced.SCHEMA, ("claimed_at",)),
    Moment("accepted", OrderPlaced.SCHEMA, ("accepted_at",)),
    Moment("filled", OrderPlaced.SCHEMA),
    Moment("protected", ProtectionPlaced.SCHEMA),
)


class Hop(NamedTuple):
    """One stretch of the way, and what happens on it."""

    name: str
    begin: str
    end: str
    about: str


HOPS = (
    Hop("webhook", "due", "received", "the alert's way into BRAIN, as far as its first line"),
    Hop("brain queue", "received", "analysed", "checks, confirmed publish, delivery to BRAIN's consumer"),
    Hop("brain → risk", "analysed", "decided", "analysis, commit, confirmed publish, RISK's market and lock"),
    Hop("risk → execute", "decided", "claimed", "decision, commit, publish, EXECUTE's intent, price, claim"),
    Hop("order", "claimed", "accepted", "signed order to the exchange (its clock: whole milliseconds)"),
    Hop("answer", "accepted", "filled", "the exchange's answer back in EXECUTE"),
    Hop("protection", "filled", "protected", "stop and take-profit confirmed, the fill committed meanwhile"),
)

ENTRY = Hop("webhook → entry accepted", "due", "accepted", "")
PROTECTION = Hop("webhook → stop and TP confirmed", "due", "protected", "")

_QUERY = """
SELECT correlation_id, schema, occurred_at, payload
FROM brain.story WHERE correlation_id = ANY($1::text[]) AND schema = ANY($2::text[])
"""


async def read_moments(database: Database, due_us: Mapping[str, int]) -> list[Moments]:
    """Return the moments of each signal in `due_us` (by signal id) as far as its story goes."""
    rows = await database.fetch(_QUERY, list(due_us), sorted({each.schema for each in MOMENTS}))
    found: dict[str, dict[str, int]] = {signal: {"due": due} for signal, due in due_us.items()}
    for row in rows:
        found[row["correlation_id"]].update(moments_of(row["schema"], row["occurred_at"], row["payload"]))
    return list(found.values())


def moments_of(schema: str, occurred_at: datetime, payload: Mapping[str, Any]) -> dict[str, int]:
    """Return the moments that one message of a story tells."""
    found = {}
    for moment in MOMENTS:
        if moment.schema == schema:
            found[moment.name] = _micros(_field(payload, moment.field) if moment.field else occurred_at)
    return found


def stretch_ms(hop: Hop, stories: Iterable[Moments]) -> list[float]:
    """Return how long the hop took in each story that has both its ends, in milliseconds."""
    return [
        (story[hop.end] - story[hop.begin]) / 1_000
        for story in stories
        if hop.begin in story and hop.end in story
    ]


def unfinished(stories: Sequence[Moments]) -> int:
    """Return how many stories never came to a protected position."""
    return sum(PROTECTION.end not in story for story in stories)


def _field(payload: Mapping[str, Any], path: tuple[str, ...]) -> datetime:
    value: Any = payload
    for name in path:
        value = value[name]
    return datetime.fromisoformat(value)


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
