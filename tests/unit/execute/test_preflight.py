"""The preflight for people: what the exchange says is judged, and it is asked seldom."""

from datetime import UTC, datetime, timedelta

import pytest

from services.execute import venue_parse
from services.execute.preflight import LOOK_INTERVAL, PointResult, Preflight, Report, brackets_point
from services.execute.venue import AccountModes, KeyRights
from shared.errors import ExchangeRefused, ExchangeUnavailable
from shared.market import Instrument

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SAFE = KeyRights(may_withdraw=False, may_trade_futures=True, is_bound_to_addresses=True)


class Setup:
    """An account as the exchange tells it."""

    def __init__(self) -> None:
        self.modes = AccountModes(is_hedged=False, is_multi_asset=False)
        self.rights: KeyRights | ExchangeUnavailable = SAFE
        self.refusal: Exception | None = None
        self.ahead = timedelta(0)
        self.asked = 0

    def clock_ahead(self) -> timedelta:
        return self.ahead

    async def account_modes(self) -> AccountModes:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        return self.modes

    async def key_rights(self) -> KeyRights:
        if isinstance(self.rights, ExchangeUnavailable):
            raise self.rights
        return self.rights

    async def instruments(self) -> tuple[Instrument, ...]:
        return ()


def _results(report: Report) -> dict[str, PointResult]:
    return {point.name: point.result for point in report.points}


async def _look(setup: Setup, mode: str = "live") -> Report:
    return await Preflight(setup, mode, lambda: NOON).look()


async def test_a_good_account_is_ok() -> None:
    results = _results(await _look(Setup()))
    assert results.pop("leverage_brackets") is PointResult.FAILED, "nothing is listed here"
    assert set(results.values()) == {PointResult.OK}


async def test_each_bad_setting_is_told_with_what_to_do() -> None:
    setup = Setup()
    setup.modes = AccountModes(is_hedged=True, is_multi_asset=True)
    setup.rights = KeyRights(may_withdraw=True, may_trade_futures=False, is_bound_to_addresses=False)
    setup.ahead = timedelta(seconds=-90)
    report = await _look(setup)
    assert {point.result for point in report.points} == {PointResult.FAILED}
    assert all(point.advice for point in report.points)
    (clock,) = [point for point in report.points if point.name == "clock"]
    assert clock.said == "-90000 ms against the exchange"


@pytest.mark.parametrize("mode", ["paper", "demo"])
async def test_rights_are_asked_of_the_real_exchange_only(mode: str) -> None:
    """The host that knows them does not know the keys of demo, and would get a paper key."""
    setup = Setup()
    setup.rights = ExchangeUnavailable("must not be asked")
    assert _results(await _look(setup, mode))["key_rights"] is PointResult.NOT_APPLICABLE


async def test_an_exchange_that_does_not_tell_is_unknown_or_named() -> None:
    setup = Setup()
    setup.rights = ExchangeUnavailable("no answer")
    assert _results(await _look(setup))["key_rights"] is PointResult.UNKNOWN
    setup.refusal = ExchangeRefused(-2015, "Invalid API-key")
    (account,) = [point for point in (await _look(setup)).points if point.name == "account"]
    assert "-2015" in account.said


async def test_the_exchange_is_asked_once_a_minute_and_the_clock_is_always_fresh() -> None:
    setup, now = Setup(), [NOON]
    preflight = Preflight(setup, "paper", lambda: now[0])
    await preflight.look()
    setup.ahead = timedelta(seconds=5)
    assert _results(await preflight.look())["clock"] is PointResult.FAILED
    assert setup.asked == 1, "lookers must not use up our weight"
    now[0] += LOOK_INTERVAL * 2
    await preflight.look()
    assert setup.asked == 2


def test_a_right_that_is_not_named_counts_as_the_worse() -> None:
    assert venue_parse.key_rights({}) == KeyRights(
        may_withdraw=True, may_trade_futures=False, is_bound_to_addresses=False
    )
    told = {"enableWithdrawals": False, "enableFutures": True, "ipRestrict": True}
    assert venue_parse.key_rights(told) == SAFE


def test_no_instruments_is_no_green() -> None:
    assert brackets_point(()).result is PointResult.FAILED
