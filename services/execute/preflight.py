"""How our account and key are set up at the exchange, for people: each point with what to do about it.

A failure here stops nothing: what would make orders fail is refused at the start (`BinanceClient.preflight`).
The exchange is asked at most once a minute, however many look. It must never change anything there.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from services.execute.ports import ChecksSetup
from services.execute.venue import AccountModes, KeyRights
from shared.clock import Clock
from shared.errors import ExchangeRefused, ExchangeUnavailable
from shared.market import Instrument
from shared.values import Value

LOOK_INTERVAL = timedelta(seconds=60)
CLOCK_SKEW_MAX = timedelta(seconds=1)
"""Corrected for at any size; from here on the machine's own time keeping is broken."""


class PointResult(StrEnum):
    """How one point stands."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not_applicable"


class Point(Value, frozen=True, kw_only=True):
    """One thing that must be so; `advice` is empty unless something should be done."""

    name: str
    result: PointResult
    said: str
    advice: str = ""


class Report(Value, frozen=True, kw_only=True):
    """All points, and when the exchange was asked."""

    mode: str
    checked_at: datetime
    points: tuple[Point, ...]


class Preflight:
    """Asks and judges; keeps the answer for `LOOK_INTERVAL`."""

    def __init__(self, exchange: ChecksSetup, mode: str, clock: Clock) -> None:
        self._exchange = exchange
        self._mode = mode
        self._clock = clock
        self._asking = asyncio.Lock()
        self._newest = Report(mode=mode, checked_at=datetime.min.replace(tzinfo=UTC), points=())

    async def look(self) -> Report:
        """Return the points; what the exchange does not tell is `unknown`."""
        async with self._asking:
            now = self._clock()
            if now - self._newest.checked_at > LOOK_INTERVAL:
                points = (*await self._account(), *await self._key())
                self._newest = Report(mode=self._mode, checked_at=now, points=points)
        clock = clock_point(self._exchange.clock_ahead())  # known without asking
        return msgspec.structs.replace(self._newest, points=(clock, *self._newest.points))

    async def _account(self) -> Sequence[Point]:
        try:
            modes = await self._exchange.account_modes()
            instruments = await self._exchange.instruments()
        except (ExchangeUnavailable, ExchangeRefused) as error:
            return (
                Point(
                    name="account",
                    result=PointResult.FAILED,
                    said=f"the exchange does not tell: {error}",
                    advice="Check PHOENIX_EXCHANGE_API_KEY and PHOENIX_EXCHANGE_API_SECRET, and the network.",
                ),
            )
        return (*mode_points(modes), brackets_point(instruments))

    async def _key(self) -> Sequence[Point]:
        if self._mode != "live":
            said = f"mode {self._mode}: no real money behind this key"
            return (Point(name="key_rights", result=PointResult.NOT_APPLICABLE, said=said),)
        try:
            rights = await self._exchange.key_rights()
        except ExchangeUnavailable as error:
            return (
                Point(
                    name="key_rights",
                    result=PointResult.UNKNOWN,
                    said=f"the exchange does not tell: {error}",
                    advice="Look at the key on the exchange's page: no withdrawals, trusted addresses only.",
                ),
            )
        return key_points(rights)


def mode_points(modes: AccountModes) -> Sequence[Point]:
    """Judge how the account is set up."""
    return (
        _point(
            "one_way_mode",
            not modes.is_hedged,
            ("one-way mode", "hedge mode"),
            "Switch the account's position mode to one-way on the exchange.",
        ),
        _point(
            "single_asset_mode",
            not modes.is_multi_asset,
            ("single-asset mode", "multi-asset mode"),
            "Switch the account's asset mode to single-asset on the exchange.",
        ),
    )


def brackets_point(instruments: Sequence[Instrument]) -> Point:
    """Judge whether the exchange tells the leverage brackets of what it lists."""
    bare = [each.symbol for each in instruments if not each.brackets]
    return _point(
        "leverage_brackets",
        bool(instruments) and not bare,
        (f"known for {len(instruments)} symbols", f"missing for {len(bare)} of {len(instruments)} symbols"),
        "Entries in those symbols are refused. The key may lack the right to read them.",
    )


def clock_point(ahead: timedelta) -> Point:
    """Judge how far our clock is from the exchange's."""
    said = f"{ahead / timedelta(milliseconds=1):+.0f} ms against the exchange"
    return _point(
        "clock",
        abs(ahead) <= CLOCK_SKEW_MAX,
        (said, said),
        "Let the machine keep time: timedatectl set-ntp true (or chrony). Phoenix corrects for it meanwhile.",
    )


def key_points(rights: KeyRights) -> Sequence[Point]:
    """Judge what our key may do."""
    return (
        _point(
            "no_withdrawal",
            not rights.may_withdraw,
            ("the key cannot withdraw", "the key may withdraw"),
            "Take that right from the key at once: whoever steals it could empty the account.",
        ),
        _point(
            "address_restriction",
            rights.is_bound_to_addresses,
            ("bound to addresses", "usable from any address"),
            "Restrict the key to this machine's public address.",
        ),
        _point(
            "futures_right",
            rights.may_trade_futures,
            ("may trade futures", "may not trade futures"),
            "Allow futures for the key, else every order is refused.",
        ),
    )


def _point(name: str, holds: bool, said: tuple[str, str], advice: str) -> Point:
    if holds:
        return Point(name=name, result=PointResult.OK, said=said[0])
    return Point(name=name, result=PointResult.FAILED, said=said[1], advice=advice)
