"""The edge: what our own closed trades say about the odds, shrunk towards a prior while they are few (DESIGN
6.3).

Pure. It knows returns only, newest first; it must never know where they are kept, nor how large a position
becomes (that is RISK's Kelly rule).
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from shared.money import ONE, ZERO, clamp, stored
from shared.values import EdgeEstimate

PRIOR_WIN_RATE = Decimal("0.68")
PRIOR_AVERAGE_WIN = Decimal("0.0175")
PRIOR_AVERAGE_LOSS = Decimal("0.0095")
PRIOR_WEIGHT_TRADES = Decimal(10)

HALF_LIFE_TRADES = 50
TRADES_CONSIDERED_MAX = 500
"""Ten half-lives: a trade older than that would weigh less than a thousandth."""

Z_90 = Decimal("1.6449")
"""Two-sided 90 % of the normal distribution."""

_DECAY = Decimal("0.5") ** (ONE / HALF_LIFE_TRADES)


def estimate_edge(returns: Sequence[Decimal], *, closed_trades: int | None = None) -> EdgeEstimate:
    """Return the odds that `returns` (fractions of the entry price, costs included, newest first) speak for.

    The i-th newest trade weighs 0.5^(i/50). The prior counts as 10 trades: 6.8 wins of 1.75 % and 3.2 losses
    of 0.95 %. A return of exactly zero is a loss of nothing. The interval is the 90 % normal approximation of
    the beta distribution Beta(wins + 6.8, losses + 3.2) of weighted counts, limited to 0..1: wide for as long
    as we know little. `closed_trades` is the number of trades ever closed when only the newest are handed
    over.
    """
    weighed = list(zip(_weights(), returns[:TRADES_CONSIDERED_MAX], strict=False))
    wins = [(weight, result) for weight, result in weighed if result > ZERO]
    losses = [(weight, -result) for weight, result in weighed if result <= ZERO]
    effective = sum((weight for weight, _ in weighed), ZERO)
    total = effective + PRIOR_WEIGHT_TRADES
    prior_wins = PRIOR_WEIGHT_TRADES * PRIOR_WIN_RATE
    win_rate = (_weight(wins) + prior_wins) / total
    margin = Z_90 * (win_rate * (ONE - win_rate) / (total + ONE)).sqrt()
    return EdgeEstimate(
        closed_trades=len(returns) if closed_trades is None else closed_trades,
        effective_trades=stored(effective),
        win_rate=stored(win_rate),
        win_rate_low=stored(clamp(win_rate - margin, ZERO, ONE)),
        win_rate_high=stored(clamp(win_rate + margin, ZERO, ONE)),
        average_win=stored(_shrunk_average(wins, PRIOR_AVERAGE_WIN, prior_wins)),
        average_loss=stored(_shrunk_average(losses, PRIOR_AVERAGE_LOSS, PRIOR_WEIGHT_TRADES - prior_wins)),
    )


def _weights() -> Iterator[Decimal]:
    weight = ONE
    while True:
        yield weight
        weight *= _DECAY


def _weight(weighed: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return sum((weight for weight, _ in weighed), ZERO)


def _shrunk_average(
    weighed: Sequence[tuple[Decimal, Decimal]], prior: Decimal, prior_weight: Decimal
) -> Decimal:
    own = sum((weight * size for weight, size in weighed), ZERO)
    return (own + prior * prior_weight) / (_weight(weighed) + prior_weight)
