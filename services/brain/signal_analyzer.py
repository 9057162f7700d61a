"""The score of an entry: factors from tables, three parts, one adjustment, three gates (DESIGN 6.1, 6.2).

Pure. Scorers are plain functions found by name, so that another one is a dictionary row and not a branch. It
must never decide on a trade: the gates are reported here and enforced by RISK.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from services.brain import scoring_tables as tables
from services.brain.evidence import Evidence
from shared.money import ONE, ZERO, clamp, plain
from shared.values import Analysis, Factor, Gate, RiskLevel

CONFIDENCE_FLOOR = Decimal("0.3")
"""Below this the alert itself does not believe in it: `phoenix` is zero."""

TREND_BASE = Decimal("0.5")
TREND_MOMENTUM_FULL = Decimal("0.02")
TREND_MOMENTUM_SHARE = Decimal("0.2")
MOMENTUM_BASE = Decimal("0.5")
MOMENTUM_FULL = Decimal("0.04")
MOMENTUM_SHARE = Decimal("0.3")

PHOENIX_WEIGHTS = {
    "confidence": Decimal("0.35"),
    "phoenix.trend": Decimal("0.25"),
    "phoenix.volume": Decimal("0.20"),
    "phoenix.momentum": Decimal("0.10"),
    "phoenix.spread": Decimal("0.10"),
}
PART_WEIGHTS = {"technical": Decimal("0.3"), "phoenix": Decimal("0.5"), "market": Decimal("0.2")}

FINAL_BOOST = Decimal("1.3")
FINAL_SCORE_SHARE = Decimal("0.95")
FINAL_CONFIDENCE_SHARE = Decimal("0.05")


@dataclass(frozen=True, kw_only=True)
class Minimums:
    """The least value that passes each gate, fractions of 1."""

    confidence: Decimal = Decimal("0.25")
    phoenix95_score: Decimal = Decimal("0.45")
    final_confidence: Decimal = Decimal("0.85")


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a scorer found: the parts, the score 0..1, and every factor on the way."""

    technical: Decimal
    phoenix: Decimal
    market: Decimal
    phoenix95_score: Decimal
    factors: tuple[Factor, ...]


Scorer = Callable[[Evidence], Score]


class _Sheet:
    """Collects factors in the order they are worked out."""

    def __init__(self) -> None:
        self.factors: list[Factor] = []

    def note(self, name: str, given: str, value: Decimal, rule: str) -> Decimal:
        """Write down one factor and return its value."""
        self.factors.append(Factor(name=name, input=given, value=value, rule=rule))
        return value

    def look_up(self, name: str, table: tables.Table, subject: str, number: Decimal) -> Decimal:
        """Write down what `table` says about `number`."""
        row = table.look_up(number)
        return self.note(name, f"{subject} {plain(number)}", row.value, row.rule)


def analyse(evidence: Evidence, scorer: str, minimums: Minimums) -> Analysis:
    """Return the whole analysis of an entry. `scorer` is a name in `SCORERS`."""
    score = SCORERS[scorer](evidence)
    final = min(
        ONE,
        FINAL_BOOST
        * (FINAL_SCORE_SHARE * score.phoenix95_score + FINAL_CONFIDENCE_SHARE * evidence.confidence),
    )
    return Analysis(
        scorer=scorer,
        price=evidence.price,
        rsi=evidence.rsi,
        macd=evidence.macd,
        quote_volume_24h_usdt=evidence.quote_volume_24h_usdt,
        open_positions=evidence.open_positions,
        defaulted=evidence.defaulted,
        factors=score.factors,
        technical=score.technical,
        phoenix=score.phoenix,
        market=score.market,
        phoenix95_score=score.phoenix95_score,
        final_confidence=final,
        risk_level=risk_level(evidence),
        gates=(
            Gate(name="confidence", value=evidence.confidence, minimum=minimums.confidence),
            Gate(name="phoenix95_score", value=score.phoenix95_score, minimum=minimums.phoenix95_score),
            Gate(name="final_confidence", value=final, minimum=minimums.final_confidence),
        ),
    )


def risk_level(evidence: Evidence) -> RiskLevel:
    """Return how dangerous the market looks, worst first; a market without volume is critical."""
    if evidence.quote_volume_24h_usdt <= ZERO:
        return RiskLevel.CRITICAL
    for danger in tables.DANGERS:
        if danger.applies(evidence.rsi, evidence.momentum):
            return danger.level
    return RiskLevel.LOW


def score_phoenix95(evidence: Evidence) -> Score:
    """Score by the mission's formulas: technical, phoenix and market parts, then the adjustment."""
    sheet = _Sheet()
    parts = {
        "technical": _technical(evidence, sheet),
        "phoenix": _phoenix(evidence, sheet),
        "market": _market(evidence, sheet),
    }
    raw = sheet.note(
        "raw",
        ", ".join(f"{name} {plain(value)}" for name, value in parts.items()),
        sum((PART_WEIGHTS[name] * value for name, value in parts.items()), ZERO),
        _weighted(PART_WEIGHTS),
    )
    return Score(**parts, phoenix95_score=raw * _adjustment(evidence, sheet), factors=tuple(sheet.factors))


def _technical(evidence: Evidence, sheet: _Sheet) -> Decimal:
    product = (
        evidence.confidence
        * sheet.look_up("technical.rsi", tables.TECHNICAL_RSI, "rsi", evidence.rsi)
        * sheet.look_up("technical.macd", tables.TECHNICAL_MACD, "|macd|/price", evidence.momentum)
        * sheet.look_up("technical.price", tables.TECHNICAL_PRICE, "price", evidence.price)
    )
    confidence = plain(evidence.confidence)
    return sheet.note("technical", f"confidence {confidence}", min(ONE, product), "min(1, c·rsi·macd·price)")


def _phoenix(evidence: Evidence, sheet: _Sheet) -> Decimal:
    confidence = f"confidence {plain(evidence.confidence)}"
    if evidence.confidence < CONFIDENCE_FLOOR:
        return sheet.note("phoenix", confidence, ZERO, f"confidence < {CONFIDENCE_FLOOR}")
    volume, positions = evidence.quote_volume_24h_usdt, Decimal(evidence.open_positions)
    terms = {
        "confidence": evidence.confidence,
        "phoenix.trend": _trend(evidence, sheet),
        "phoenix.volume": sheet.look_up("phoenix.volume", tables.VOLUME, "24 h volume", volume),
        "phoenix.momentum": _momentum(evidence, sheet),
        "phoenix.spread": sheet.look_up("phoenix.spread", tables.SPREAD_OF_RISK, "open positions", positions),
    }
    total = sum((PHOENIX_WEIGHTS[name] * value for name, value in terms.items()), ZERO)
    return sheet.note("phoenix", confidence, clamp(total, ZERO, ONE), _weighted(PHOENIX_WEIGHTS))


def _trend(evidence: Evidence, sheet: _Sheet) -> Decimal:
    by_rsi = sheet.look_up("phoenix.trend.rsi", tables.TREND_RSI, "rsi", evidence.rsi)
    share = TREND_MOMENTUM_SHARE * evidence.momentum / TREND_MOMENTUM_FULL
    by_momentum = min(share, TREND_MOMENTUM_SHARE)
    return sheet.note(
        "phoenix.trend",
        f"|macd|/price {plain(evidence.momentum)}",
        clamp(TREND_BASE + by_rsi + by_momentum, ZERO, ONE),
        "0.5 + rsi + min(0.2·m/2 %, 0.2)",
    )


def _momentum(evidence: Evidence, sheet: _Sheet) -> Decimal:
    return sheet.note(
        "phoenix.momentum",
        f"|macd|/price {plain(evidence.momentum)}",
        min(ONE, MOMENTUM_BASE + MOMENTUM_SHARE * evidence.momentum / MOMENTUM_FULL),
        "min(1, 0.5 + 0.3·m/4 %)",
    )


def _market(evidence: Evidence, sheet: _Sheet) -> Decimal:
    closed = Decimal(evidence.closed_trades)
    by_win_rate = sheet.look_up("market.win_rate", tables.MARKET_WIN_RATE, "win rate", evidence.win_rate)
    experience = sheet.look_up("market.experience", tables.MARKET_EXPERIENCE, "closed trades", closed)
    return sheet.note("market", f"win rate {plain(evidence.win_rate)}", by_win_rate * experience, "product")


def _adjustment(evidence: Evidence, sheet: _Sheet) -> Decimal:
    product = (
        sheet.look_up("adjust.rsi", tables.ADJUST_RSI, "rsi", evidence.rsi)
        * sheet.look_up("adjust.volume", tables.ADJUST_VOLUME, "24 h volume", evidence.quote_volume_24h_usdt)
        * sheet.look_up("adjust.price", tables.ADJUST_PRICE, "price", evidence.price)
        * sheet.look_up("adjust.momentum", tables.ADJUST_MOMENTUM, "|macd|/price", evidence.momentum)
    )
    return sheet.note("adjust", f"product {plain(product)}", min(ONE, product), "min(1, r·v·p·σ)")


def _weighted(weights: Mapping[str, Decimal]) -> str:
    return " + ".join(f"{weight}·{name.rpartition('.')[2]}" for name, weight in weights.items())


SCORERS: dict[str, Scorer] = {"phoenix95": score_phoenix95}
"""Every way to score an entry, by the name that the setting `scorer` chooses."""
