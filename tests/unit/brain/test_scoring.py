"""The score holds to the digit, and every factor says which row of which table applied."""

from decimal import Decimal

import pytest

from services.brain import scoring_tables as tables
from services.brain.evidence import Evidence, gather
from services.brain.signal_analyzer import SCORERS, Minimums, Score, analyse, risk_level
from shared.edge import estimate_edge
from shared.values import Analysis, RiskLevel
from tests.unit.brain.builders import bars, evidence, signal, tick

D = Decimal


def analysis(given: Evidence | None = None) -> Analysis:
    return analyse(given or evidence(), "phoenix95", Minimums())


def test_worked_example_holds_to_the_digit_and_fails_the_last_gate_only() -> None:
    """Price 50 000, confidence 0.8, RSI 45, MACD 0.5, volume 1 M, no history."""
    found = analysis()
    assert found.technical == D("0.7942")
    assert found.phoenix == D("0.7675325")
    assert found.market == D("0.72")
    assert found.phoenix95_score == D("0.644611089375")
    assert found.final_confidence == D("0.848094695378125")
    assert [(gate.name, gate.passed) for gate in found.gates] == [
        ("confidence", True),
        ("phoenix95_score", True),
        ("final_confidence", False),
    ]


def test_same_alert_in_a_liquid_market_passes() -> None:
    assert all(gate.passed for gate in analysis(evidence(quote_volume_24h_usdt=D(20_000_000))).gates)


def test_adjustment_never_lifts_a_score_above_its_parts() -> None:
    found = analysis(evidence(quote_volume_24h_usdt=D(200_000_000), price=D("50123.4")))
    raw = next(factor.value for factor in found.factors if factor.name == "raw")
    assert found.phoenix95_score == raw


def test_alert_that_does_not_believe_in_itself_gets_no_phoenix_part() -> None:
    assert analysis(evidence(confidence=D("0.29"))).phoenix == 0
    assert analysis(evidence(confidence=D("0.3"))).phoenix > 0


def test_every_factor_is_explained() -> None:
    found = analysis()
    names = [factor.name for factor in found.factors]
    assert len(names) == len(set(names))
    assert {"technical", "phoenix", "market", "raw", "adjust"} <= set(names)
    assert all(factor.input and factor.rule for factor in found.factors)


ROWS = [
    (tables.TECHNICAL_RSI, {"40": "1.10", "60": "1.10", "39.9": "1.05", "70": "1.05", "20": "0.95",
                            "80": "0.95", "19.9": "0.80", "80.1": "0.80"}),
    (tables.TECHNICAL_MACD, {"0.041": "0.90", "0.04": "1.10", "0.021": "1.10", "0.02": "1.05", "0.01": "1.00",
                             "0.0021": "1.00", "0.002": "0.95", "0": "0.95"}),
    (tables.TECHNICAL_PRICE, {"50000": "0.95", "45000": "0.97", "41000.5": "0.98", "41001": "1", "0.5": "1"}),
    (tables.TREND_RSI, {"35": "0.25", "65": "0.25", "34": "0.15", "75": "0.15", "15": "0.05", "85": "0.05",
                        "14": "-0.15", "86": "-0.15"}),
    (tables.VOLUME, {"0": "0.3", "1": "0.7", "1000000": "0.7", "1000001": "0.85", "10000001": "0.95",
                     "100000001": "1.0", "500000001": "0.95"}),
    (tables.SPREAD_OF_RISK, {"0": "1.1", "2": "1.1", "3": "1.05", "6": "1.0", "11": "0.9"}),
    (tables.MARKET_WIN_RATE, {"0.81": "1.0", "0.8": "0.9", "0.6": "0.7", "0.4": "0.5"}),
    (tables.MARKET_EXPERIENCE, {"9": "0.8", "10": "1"}),
    (tables.ADJUST_RSI, {"9.9": "0.5", "90.1": "0.5", "10": "0.7", "19.9": "0.7", "20": "0.9", "29": "0.9",
                         "30": "1.1", "70": "1.1", "71": "0.9", "81": "0.7"}),
    (tables.ADJUST_VOLUME, {"0": "0.8", "1000000": "0.85", "1000001": "1.0", "10000001": "1.1",
                            "100000001": "1.2"}),
    (tables.ADJUST_PRICE, {"50000": "0.9", "45000": "0.9", "41000": "0.95", "500": "0.95", "501": "1"}),
    (tables.ADJUST_MOMENTUM, {"0.021": "0.7", "0.011": "0.8", "0.0021": "0.9", "0.002": "1"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "given", "expected"),
    [(table, given, expected) for table, rows in ROWS for given, expected in rows.items()],
)
def test_tables_at_their_edges(table: tables.Table, given: str, expected: str) -> None:
    assert table.look_up(D(given)).value == D(expected)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({}, RiskLevel.LOW),
        ({"rsi": D(9)}, RiskLevel.CRITICAL),
        ({"rsi": D(19)}, RiskLevel.HIGH),
        ({"rsi": D(71)}, RiskLevel.MEDIUM),
        ({"macd": D(-2001)}, RiskLevel.CRITICAL),
        ({"macd": D(1001)}, RiskLevel.HIGH),
        ({"macd": D(501)}, RiskLevel.MEDIUM),
        ({"quote_volume_24h_usdt": D(0)}, RiskLevel.CRITICAL),
    ],
)
def test_risk_level(changes: dict[str, object], level: RiskLevel) -> None:
    assert risk_level(evidence(**changes)) is level


def test_another_scorer_is_a_row_of_the_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    def trusting(given: Evidence) -> Score:
        one = D(1)
        return Score(technical=one, phoenix=one, market=one, phoenix95_score=given.confidence, factors=())

    monkeypatch.setitem(SCORERS, "trusting", trusting)
    found = analyse(evidence(), "trusting", Minimums())
    assert (found.scorer, found.phoenix95_score) == ("trusting", D("0.8"))


def test_what_the_alert_sends_wins_over_the_bars() -> None:
    found = gather(signal(), tick(), bars(["100"] * 40), 3, estimate_edge([]))
    assert found is not None
    assert (found.rsi, found.macd, found.defaulted) == (D(45), D("0.5"), ())
    assert (found.open_positions, found.win_rate) == (3, D("0.68"))


def test_what_the_alert_lacks_comes_from_the_bars() -> None:
    lacking = signal(rsi=None, macd=None)
    found = gather(lacking, tick(), bars([str(100 + number) for number in range(40)]), 0, estimate_edge([]))
    assert found is not None
    assert found.rsi == 100
    assert found.macd > 0
    assert found.defaulted == ()


def test_what_nobody_knows_is_neutral_and_marked() -> None:
    found = gather(signal(rsi=None, macd=None), None, (), 0, estimate_edge([]))
    assert found is not None
    assert (found.rsi, found.macd, found.quote_volume_24h_usdt) == (D(50), D(0), D(0))
    assert found.defaulted == ("rsi", "macd", "volume")


def test_missing_price_is_the_last_one_and_marked() -> None:
    found = gather(signal(price=None), tick(last="50123.5"), (), 0, estimate_edge([]))
    assert found is not None
    assert found.price == D("50123.5")
    assert found.defaulted == ("price",)


def test_no_price_anywhere_is_no_evidence() -> None:
    assert gather(signal(price=None), None, (), 0, estimate_edge([])) is None
    assert gather(signal(price=None), tick(last="0"), (), 0, estimate_edge([])) is None
