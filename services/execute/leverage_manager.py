"""Margin mode and leverage of a symbol: what has to be changed before an entry. Pure.

The exchange keeps both per symbol; asking each time costs a round trip, so what was set is remembered by
the caller, and forgotten when reconciliation sees that somebody else changed it.
"""

from collections.abc import Mapping
from enum import StrEnum

from shared.values import Value


class MarginSetup(Value, frozen=True, kw_only=True):
    """How a symbol stands on the exchange, as far as we set it ourselves."""

    is_isolated: bool
    leverage: int


class SetupStep(StrEnum):
    """One change to make."""

    SET_ISOLATED = "set_isolated"
    SET_LEVERAGE = "set_leverage"


def setup_steps(known: MarginSetup | None, leverage: int) -> tuple[SetupStep, ...]:
    """Return what to change for an isolated position at `leverage`; everything when nothing is known."""
    steps: list[SetupStep] = []
    if known is None or not known.is_isolated:
        steps.append(SetupStep.SET_ISOLATED)
    if known is None or known.leverage != leverage:
        steps.append(SetupStep.SET_LEVERAGE)
    return tuple(steps)


def changed_elsewhere(
    remembered: Mapping[str, MarginSetup], actual: Mapping[str, MarginSetup]
) -> frozenset[str]:
    """Return the symbols that do not stand on the exchange as we remember them."""
    return frozenset(symbol for symbol, setup in remembered.items() if actual.get(symbol) != setup)
