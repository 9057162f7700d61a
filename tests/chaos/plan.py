"""What will happen in one run, from a seed alone: who sends what when, and what breaks when. Pure.

Two runs of one seed have the same plan; what the system makes of it depends on the machine, and must not
matter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

SYMBOLS = tuple(
    f"{base}USDT" for base in ("BTC", "ETH", "BNB", "ADA", "DOGE", "XRP", "SOL", "AVAX", "DOT", "LINK")
)
SIDES = ("buy", "sell")
AGAIN_WITHIN_S = 20.0
"""A repeated alert follows its first sending within this time."""
QUIET_AT_BOTH_ENDS_S = 5.0
FAULT_SPACING = (0.6, 1.4)
"""Faults come at even distances, each moved by a factor in this range."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A webhook; `copies` are sent at once, and those of one `key` are one signal."""

    key: str
    symbol: str
    action: str
    copies: int = 1
    is_old: bool = False
    has_own_id: bool = True


@dataclass(frozen=True, kw_only=True)
class ManualTrade:
    """An entry that an operator proposes."""

    symbol: str
    side: str


@dataclass(frozen=True, kw_only=True)
class OperatorClose:
    """A close that an operator asks for."""

    symbol: str


@dataclass(frozen=True, kw_only=True)
class Pause:
    """An operator pauses trading and resumes it."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class PriceJump:
    """The market of a symbol moves by a share of its price: far enough for a stop or a target."""

    symbol: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something breaks: a kind of the fault table, and for how long where that has a meaning."""

    kind: str
    seconds: float
    dice: float
    """0..1, for what the kind itself has to choose."""


Act = Alert | ManualTrade | OperatorClose | Pause | PriceJump | Fault


@dataclass(frozen=True, kw_only=True)
class Step:
    """An act and its moment, seconds after the start."""

    at_s: float
    act: Act


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """How often a kind is drawn, and how long it may last."""

    name: str
    weight: int
    seconds: tuple[float, float] = (0.0, 0.0)
    is_in_every_plan: bool = False


def make_plan(
    seed: int, *, signals: int, faults: int, duration_s: float, kinds: Sequence[FaultKind]
) -> list[Step]:
    """Return every step of the run, in order. `signals` counts alerts and manual trades, repetitions not."""
    dice = Random(seed)
    steps = [
        *_workload(dice, signals, duration_s),
        *_market(dice, duration_s),
        *_faults(dice, faults, duration_s, kinds),
    ]
    return sorted(steps, key=lambda step: step.at_s)


def _workload(dice: Random, signals: int, duration_s: float) -> Iterator[Step]:
    for number in range(signals):
        at_s = dice.uniform(0, duration_s)
        made = dice.choices(_ACTS, weights=[weight for weight, _ in _WEIGHTED])[0](dice, number)
        yield Step(at_s=at_s, act=made)
        if isinstance(made, Alert) and dice.random() < 0.1:
            yield Step(at_s=at_s + dice.uniform(0, AGAIN_WITHIN_S), act=made)


def _market(dice: Random, duration_s: float) -> Iterator[Step]:
    at_s = 0.0
    while (at_s := at_s + dice.uniform(2, 6)) < duration_s:
        share = dice.choice((-1, 1)) * dice.uniform(0.021, 0.03)
        yield Step(at_s=at_s, act=PriceJump(symbol=dice.choice(SYMBOLS), share=share))


def _faults(dice: Random, count: int, duration_s: float, kinds: Sequence[FaultKind]) -> Iterator[Step]:
    """Every kind once, while there is room, then by weight; evenly spread, to leave time to recover."""
    always = [kind for kind in kinds if kind.is_in_every_plan]
    others = [kind for kind in kinds if not kind.is_in_every_plan]
    dice.shuffle(others)
    again = dice.choices(kinds, weights=[kind.weight for kind in kinds], k=count)
    chosen = [*always, *others, *again][:count]
    dice.shuffle(chosen)
    distance_s = (duration_s - 2 * QUIET_AT_BOTH_ENDS_S) / max(count, 1)
    for number, kind in enumerate(chosen):
        at_s = QUIET_AT_BOTH_ENDS_S + distance_s * (number + dice.uniform(*FAULT_SPACING) - 1)
        fault = Fault(kind=kind.name, seconds=round(dice.uniform(*kind.seconds), 1), dice=dice.random())
        yield Step(at_s=max(at_s, 0.0), act=fault)


def _entry(dice: Random, number: int) -> Act:
    return Alert(
        key=f"entry {number}",
        symbol=dice.choice(SYMBOLS),
        action=dice.choice(SIDES),
        copies=4 if dice.random() < 0.1 else 1,
        has_own_id=dice.random() < 0.7,
    )


def _exit(dice: Random, number: int) -> Act:
    return Alert(key=f"exit {number}", symbol=dice.choice(SYMBOLS), action="close")


def _old_entry(dice: Random, number: int) -> Act:
    return Alert(key=f"old {number}", symbol=dice.choice(SYMBOLS), action=dice.choice(SIDES), is_old=True)


def _manual(dice: Random, _: int) -> Act:
    return ManualTrade(symbol=dice.choice(SYMBOLS), side=dice.choice(SIDES))


def _close(dice: Random, _: int) -> Act:
    return OperatorClose(symbol=dice.choice(SYMBOLS))


def _pause(dice: Random, _: int) -> Act:
    return Pause(seconds=dice.uniform(1, 4))


_WEIGHTED: tuple[tuple[int, Callable[[Random, int], Act]], ...] = (
    (66, _entry),
    (18, _exit),
    (5, _old_entry),
    (4, _manual),
    (5, _close),
    (2, _pause),
)
_ACTS = tuple(make for _, make in _WEIGHTED)
