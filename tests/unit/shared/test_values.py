"""Small values, time, market data and identifiers: what they promise, by example."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest

from shared import ids
from shared.clock import ManualClock, utc_now
from shared.ids import OrderRole, client_order_id, event_id, is_ours, signal_id
from shared.market import Tick, empty_tick, tick_from_stream, tick_to_stream
from shared.money import Rounding, clamp, floor_to_step, plain, round_to_tick, stored
from shared.values import Gate, Side

T0 = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class TestMoney:
    """Rounding is always against ourselves."""

    @pytest.mark.parametrize(
        ("quantity", "step", "expected"),
        [
            ("0.1999", "0.001", "0.199"),
            ("0.0009", "0.001", "0"),
            ("5", "5", "5"),
            ("14.99", "5", "10"),
            ("0", "1", "0"),
        ],
    )
    def test_sizes_are_rounded_down(self, quantity: str, step: str, expected: str) -> None:
        assert floor_to_step(Decimal(quantity), Decimal(step)) == Decimal(expected)

    @pytest.mark.parametrize(
        ("rounding", "expected"),
        [(Rounding.DOWN, "50123.4"), (Rounding.UP, "50123.5"), (Rounding.NEAREST, "50123.4")],
    )
    def test_a_price_moves_to_its_tick_in_the_direction_asked_for(
        self, rounding: Rounding, expected: str
    ) -> None:
        assert round_to_tick(Decimal("50123.44"), Decimal("0.1"), rounding) == Decimal(expected)

    def test_a_price_that_is_on_its_tick_stays(self) -> None:
        for rounding in Rounding:
            assert round_to_tick(Decimal("50123.4"), Decimal("0.1"), rounding) == Decimal("50123.4")

    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            ("1.500", "1.5"),
            ("100", "100"),
            ("1E+3", "1000"),
            ("1E-8", "0.00000001"),
            ("0E-8", "0"),
            ("-0", "0"),
        ],
    )
    def test_amounts_are_shown_without_exponent_or_trailing_zeros(self, amount: str, text: str) -> None:
        assert plain(Decimal(amount)) == text

    def test_the_database_keeps_eight_places(self) -> None:
        assert stored(Decimal("0.123456785")) == Decimal("0.12345678")

    def test_clamping_limits_to_both_ends(self) -> None:
        low, high = Decimal(0), Decimal(1)
        values = (Decimal(-1), Decimal("0.5"), Decimal(2))
        assert [clamp(value, low, high) for value in values] == [0, Decimal("0.5"), 1]

    @pytest.mark.parametrize("step", ["0", "-1"])
    def test_a_step_that_is_not_positive_is_a_mistake_of_ours(self, step: str) -> None:
        with pytest.raises(AssertionError):
            floor_to_step(Decimal(1), Decimal(step))


class TestIds:
    """Pure functions of the signal, within what the exchange allows."""

    def test_they_do_not_change_between_versions_of_this_code(self) -> None:
        """An id that changed with a release would place a second order after the upgrade."""
        assert signal_id("alert:trend-4711") == "sig-2tkedclawv246qpecboa"
        assert event_id("order.placed.v1", "sig-1", "2") == "evt-l2pmzpy3hjt5rcgea653"
        assert client_order_id("local", "sig-1", OrderRole.STOP_LOSS, 2) == "p95local-y3uxbimtagennzcl6fi3-s2"

    def test_parts_keep_their_boundaries_whatever_an_alert_puts_into_them(self) -> None:
        assert (
            len(
                {
                    ids.digest(*parts)
                    for parts in (("a", "b"), ("ab",), ("a\x1fb",), ("b", "a"), ("a", "b", ""))
                }
            )
            == 5
        )

    def test_orders_of_one_signal_differ_by_role_and_attempt(self) -> None:
        made = {client_order_id("local", "sig-1", role, attempt) for role in OrderRole for attempt in (1, 2)}
        assert len(made) == 8

    def test_an_installation_recognises_its_own_orders_only(self) -> None:
        mine = client_order_id("ab", "sig-1", OrderRole.ENTRY)
        assert is_ours(mine, "ab")
        assert not is_ours(mine, "a")
        assert not is_ours(client_order_id("abc", "sig-1", OrderRole.ENTRY), "ab")
        assert not is_ours("autoclose-123", "ab")

    @pytest.mark.parametrize("installation", ["", "toolong"])
    def test_an_installation_name_that_leaves_no_room_is_a_mistake_of_ours(self, installation: str) -> None:
        with pytest.raises(AssertionError):
            client_order_id(installation, "sig-1", OrderRole.ENTRY)


class TestTime:
    """Time is a value."""

    def test_the_present_has_a_zone(self) -> None:
        assert utc_now().utcoffset() == timedelta(0)

    def test_a_manual_clock_moves_only_when_told_and_never_back(self) -> None:
        clock = ManualClock(T0)
        assert clock() == clock() == T0
        clock.advance(1.5)
        assert clock() == T0 + timedelta(seconds=1.5)
        with pytest.raises(AssertionError):
            clock.advance(-1)

    def test_a_clock_without_a_zone_is_a_mistake_of_ours(self) -> None:
        with pytest.raises(AssertionError):
            ManualClock(datetime(2026, 3, 2))  # noqa: DTZ001 - the mistake under test


class TestMarket:
    """Ticks as values and as stream entries."""

    def test_a_tick_survives_the_stream(self) -> None:
        tick = Tick(
            symbol="BTCUSDT",
            bid=Decimal("50000.10"),
            ask=Decimal("50000.20"),
            last=Decimal("1E-8"),
            mark=Decimal("5E+4"),
            quote_volume_24h_usdt=Decimal("812345678.9"),
            exchange_time=T0,
            received_at=T0 + timedelta(milliseconds=3),
        )
        assert tick_from_stream(tick_to_stream(tick)) == tick

    def test_a_tick_with_a_naive_time_is_refused(self) -> None:
        fields = tick_to_stream(empty_tick("BTCUSDT", T0)) | {"received_at": "2026-03-02T14:30:00"}
        with pytest.raises(msgspec.ValidationError, match="timezone"):
            tick_from_stream(fields)

    def test_age_counts_from_when_we_received_it(self) -> None:
        assert empty_tick("BTCUSDT", T0).age_s(T0 + timedelta(seconds=2.5)) == Decimal("2.5")

    def test_sides_have_a_sign_and_an_opposite(self) -> None:
        assert Side.LONG.opposite is Side.SHORT
        assert Side.SHORT.opposite is Side.LONG
        assert Side.LONG.sign == -Side.SHORT.sign == 1

    @pytest.mark.parametrize(("value", "passed"), [("0.85", True), ("0.8499", False)])
    def test_a_gate_is_passed_at_its_minimum(self, value: str, passed: bool) -> None:
        assert Gate(name="final", value=Decimal(value), minimum=Decimal("0.85")).passed is passed
