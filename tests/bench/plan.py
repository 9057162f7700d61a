"""How much is measured: the full plan and the quick one. Pure numbers, units last."""

from dataclasses import dataclass

SYMBOLS_EXTRA = 220
TICK_MS = 5_000
"""The paper exchange moves all symbols at once and answers nobody meanwhile (0.2 ms for each). More moves
would measure that, and no real exchange does it.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One benchmark.

    Every entry of a run needs a symbol of its own, so `symbols_prepared` must cover the largest phase.
    """

    runs: int
    floor_calls: int
    webhook_rate: int
    webhook_s: float
    ramp_rates: tuple[int, ...]
    ramp_s: float
    warm_up_entries: int
    entry_rates: tuple[int, ...]
    entry_s: float
    first_trades: int
    burst_approvals: int
    burst_refusals: int

    @property
    def symbols_prepared(self) -> int:
        """Symbols whose margin mode and leverage are set up before the load, as after their first trade."""
        return SYMBOLS_EXTRA - self.first_trades * self.runs


FULL = Plan(
    runs=3,
    floor_calls=300,
    webhook_rate=50,
    webhook_s=10.0,
    ramp_rates=(250, 500, 1_000, 1_500),
    ramp_s=3.0,
    warm_up_entries=20,
    entry_rates=(5, 20),
    entry_s=6.0,
    first_trades=20,
    burst_approvals=200,
    burst_refusals=1_000,
)

QUICK = Plan(
    runs=1,
    floor_calls=60,
    webhook_rate=50,
    webhook_s=2.0,
    ramp_rates=(250, 500),
    ramp_s=1.0,
    warm_up_entries=5,
    entry_rates=(5, 20),
    entry_s=2.0,
    first_trades=5,
    burst_approvals=40,
    burst_refusals=100,
)
"""Shows in about a minute that every measurement works; its numbers say little."""
