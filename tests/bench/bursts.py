"""A burst of proposals to RISK alone: EXECUTE stands still, so that what is measured is deciding."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from services.brain.evidence import gather
from services.brain.signal_analyzer import Minimums, analyse
from shared import codec, ids
from shared.edge import estimate_edge
from shared.models import AnalysisCompleted, Envelope
from shared.values import Action, Signal
from tests.bench.alerts import STRATEGY
from tests.bench.budgets import APPROVALS, REFUSALS
from tests.bench.plan import Plan
from tests.bench.private_system import PrivateSystem, symbol
from tests.bench.results import Burst

DECIDED_TIMEOUT_S = 60.0
LOOK_INTERVAL_S = 0.25
PUBLISHES_AT_ONCE = 100

_numbers = count(1)


async def measure(system: PrivateSystem, plan: Plan) -> list[Burst]:
    """Measure approvals (each another symbol), then refusals (symbols that are reserved by then).

    EXECUTE is stopped and stays so: this comes last.
    """
    system.stack.stop_program("execute-0")
    approvals = await _burst(system, APPROVALS, plan.burst_approvals, plan.burst_approvals)
    refusals = await _burst(system, REFUSALS, plan.burst_refusals, plan.burst_approvals)
    return [approvals, refusals]


async def _burst(system: PrivateSystem, name: str, number: int, symbols: int) -> Burst:
    proposals = [_proposal(symbol(each % symbols)) for each in range(number)]
    signal_ids = [each.correlation_id for each in proposals]
    turns = asyncio.Semaphore(PUBLISHES_AT_ONCE)

    async def publish(proposal: Envelope) -> None:
        async with turns:
            await system.publisher.send(proposal)

    await asyncio.gather(*map(publish, proposals))
    decided, span_s = await _await_decisions(system, signal_ids)
    per_s = decided / span_s if span_s > 0 else 0.0
    return Burst(name=name, decisions=decided, lost=number - decided, per_s=round(per_s, 1))


async def _await_decisions(system: PrivateSystem, signal_ids: list[str]) -> tuple[int, float]:
    """Return how many were decided and the seconds between the first decision and the last."""
    query = (
        "SELECT count(*) AS decided, extract(epoch FROM max(decided_at) - min(decided_at)) AS span_s"
        " FROM risk.decisions WHERE signal_id = ANY($1::text[])"
    )
    clock = asyncio.get_running_loop().time
    deadline = clock() + DECIDED_TIMEOUT_S
    while True:
        row = await system.database.fetch_row(query, signal_ids)
        assert row is not None
        if row["decided"] == len(signal_ids) or clock() > deadline:
            return row["decided"], float(row["span_s"] or 0)
        await asyncio.sleep(LOOK_INTERVAL_S)


def _proposal(symbol_name: str) -> Envelope:
    """Return an analysis as BRAIN would send it."""
    now = datetime.now(UTC)
    key = f"bench-burst-{next(_numbers)}"
    signal = Signal(
        signal_id=ids.signal_id(key),
        dedupe_key=key,
        dedupe_window_s=None,
        strategy=STRATEGY,
        symbol=symbol_name,
        action=Action.LONG,
        confidence=Decimal("0.95"),
        price=Decimal(100),
        rsi=Decimal("48.5"),
        macd=Decimal("0.5"),
        bar_volume=None,
        alert_time=now,
        received_at=now,
        alert_text="{}",
    )
    edge = estimate_edge(())
    evidence = gather(signal, None, (), 0, edge)
    assert evidence is not None
    minimums = Minimums(confidence=Decimal(0), phoenix95_score=Decimal(0), final_confidence=Decimal(0))
    return codec.envelop(
        AnalysisCompleted(signal=signal, analysis=analyse(evidence, "phoenix95", minimums), edge=edge),
        correlation_id=signal.signal_id,
        causation_id=None,
        occurred_at=now,
        producer="bench",
    )
