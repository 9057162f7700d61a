"""The story of a signal as a person would tell it, from BRAIN's answer to `GET /signals/{id}`.

Pure: a JSON document in, chapters out. What a later version tells under a new schema is shown as it is, never
left out. Times are milliseconds since the alert was received.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from shared.wording import money, number, percent, readable

Payload = Mapping[str, Any]


class Mark(StrEnum):
    """What a line says about what it tells."""

    NONE = ""
    GOOD = "good"
    CHANGED = "changed"
    BAD = "bad"


@dataclass(frozen=True)
class Line:
    """One line of a chapter."""

    text: str
    mark: Mark = Mark.NONE


@dataclass(frozen=True)
class Chapter:
    """One thing that happened, `at_ms` after the alert (None: not a moment)."""

    title: str
    at_ms: int | None
    lines: Sequence[Line] = field(default_factory=tuple)


CHECK_MARKS = {"pass": Mark.GOOD, "resize": Mark.CHANGED, "refuse": Mark.BAD}
STAGES = {1: "signal", 2: "position", 3: "portfolio"}
OUTCOME_MARKS = {
    "opened": Mark.GOOD,
    "closed": Mark.GOOD,
    "no_op": Mark.CHANGED,
    "expired": Mark.CHANGED,
    "rejected": Mark.BAD,
    "failed": Mark.BAD,
}


def tell(document: Mapping[str, Any]) -> list[Chapter]:
    """Return the chapters in the order they happened, from the alert to the outcome."""
    received = datetime.fromisoformat(document["signal"]["received_at"])
    chapters = [_alert(document)]
    events = sorted(document["story"], key=lambda event: datetime.fromisoformat(event["occurred_at"]))
    if document.get("analysis") and not any(_is_analysis(event) for event in events):
        chapters.append(Chapter("BRAIN scored it", None, _analysis_lines(document["analysis"])))
    for event in events:
        if event["schema"] == "signal.received.v1":
            continue
        at_ms = _since(received, event["occurred_at"])
        title, lines = NARRATORS.get(event["schema"], _unknown)(event["payload"])
        chapters.append(Chapter(title or event["schema"], at_ms, lines))
    chapters.append(_outcome(document, received))
    return chapters


def _alert(document: Mapping[str, Any]) -> Chapter:
    signal = document["signal"]
    given = [
        f"{name} {number(str(signal[key]))}"
        for name, key in (("confidence", "confidence"), ("price", "price"), ("RSI", "rsi"), ("MACD", "macd"))
        if signal.get(key) is not None
    ]
    lines = [
        Line(f"{signal['signal_id']}, strategy {signal['strategy']}, from {signal.get('origin', 'alert')}"),
        Line(", ".join(given)),
        Line(f"received {signal['received_at']}"),
    ]
    if document.get("duplicate_of"):
        lines.append(Line(f"a repeat of {document['duplicate_of']}, whose story this is", Mark.CHANGED))
    return Chapter(f"Alert: {signal['action']} {signal['symbol']}", 0, lines)


def _outcome(document: Mapping[str, Any], received: datetime) -> Chapter:
    outcome = document.get("outcome")
    if outcome is None:
        return Chapter("No outcome yet", None, (Line("still on its way", Mark.CHANGED),))
    mark = OUTCOME_MARKS.get(outcome["outcome"], Mark.NONE)
    return Chapter(
        "Outcome",
        _since(received, outcome["decided_at"]),
        (Line(f"{outcome['outcome']}: {outcome['reason']}", mark),),
    )


def _analysis_lines(analysis: Payload) -> list[Line]:
    lines = [
        Line(f"{one['name']} = {number(one['value'])}   {readable(one['input'])} → {one['rule']}")
        for one in analysis["factors"]
    ]
    if analysis.get("defaulted"):
        lines.append(Line(f"not known, so defaulted: {', '.join(analysis['defaulted'])}", Mark.CHANGED))
    lines.append(
        Line(
            f"technical {number(analysis['technical'])}, phoenix {number(analysis['phoenix'])}, "
            f"market {number(analysis['market'])} → score {number(analysis['phoenix95_score'])}, "
            f"final confidence {number(analysis['final_confidence'])}; market risk {analysis['risk_level']}"
        )
    )
    return lines + [_gate(gate) for gate in analysis["gates"]]


def _gate(gate: Payload) -> Line:
    has_passed = Decimal(gate["value"]) >= Decimal(gate["minimum"])
    return Line(
        f"gate {gate['name']}: {number(gate['value'])}, at least {number(gate['minimum'])} — "
        f"{'passed' if has_passed else 'not passed'}",
        Mark.GOOD if has_passed else Mark.BAD,
    )


Narration = tuple[str, Sequence[Line]]


def _analysed(payload: Payload) -> Narration:
    analysis = payload.get("analysis")
    if not analysis:
        return "Proposed by hand: nothing to score", ()
    lines = _analysis_lines(analysis)
    edge = payload.get("edge")
    if edge:
        lines.append(
            Line(
                f"odds from {edge['closed_trades']} own trades: win rate {percent(edge['win_rate'])} "
                f"({percent(edge['win_rate_low'])} to {percent(edge['win_rate_high'])}), average win "
                f"{percent(edge['average_win'])}, loss {percent(edge['average_loss'])}"
            )
        )
    return "BRAIN scored it", lines


def _check_lines(checks: Sequence[Payload]) -> list[Line]:
    return [
        Line(
            f"{STAGES.get(check['stage'], check['stage'])} · {check['name']}: {readable(check['measured'])}, "
            f"limit {check['limit']} — {check['result']}"
            + (f" ({check['reason']})" if check.get("reason") else ""),
            CHECK_MARKS.get(check["result"], Mark.NONE),
        )
        for check in sorted(checks, key=lambda check: int(check["stage"]))
    ]


def _approved(payload: Payload) -> Narration:
    size = payload["sizing"]
    lines = _check_lines(payload["checks"])
    lines += [
        Line(
            f"size: Kelly {percent(size['kelly_fraction'])}"
            f" → margin {percent(size['margin_fraction'])} of equity"
            + (" (probe: no edge known)" if size["probe"] else "")
        ),
        Line(
            f"margin {_usdt(size['margin_usdt'])} × {size['leverage']} = {_usdt(size['notional_usdt'])}, "
            f"quantity {number(size['quantity'])} at {number(size['reference_price'])}"
        ),
        Line(
            f"risk at stop {_usdt(size['risk_usdt'])}; stop {percent(size['stop_distance'])} away, "
            f"take profit {percent(size['take_profit_distance'])}; "
            f"liquidation at {number(size['liquidation_price'])}"
        ),
    ]
    return f"RISK approved {payload['side']}, valid until {payload['valid_until']}", lines


def _rejected(payload: Payload) -> Narration:
    return f"RISK said no: {payload['outcome']}, {payload['reason']}", _check_lines(payload["checks"])


def _placed(payload: Payload) -> Narration:
    limit = payload.get("limit_price")
    at = f" at {number(limit)} or better" if limit else ""
    text = f"{payload['order_type']} {number(payload['quantity'])}{at}, order {payload['exchange_order_id']}"
    return "EXECUTE placed the entry", (Line(f"{text}, client id {payload['client_id']}"),)


def _filled(payload: Payload) -> Narration:
    slippage = Decimal(payload["slippage"])
    judged = "worse" if slippage > 0 else "better" if slippage < 0 else "no difference"
    return "The entry filled", (
        Line(
            f"{number(payload['filled_quantity'])} of {number(payload['quantity'])} at "
            f"{number(payload['average_price'])}, slippage {percent(payload['slippage'], 4)} ({judged})"
        ),
    )


def _protected(payload: Payload) -> Narration:
    unprotected_ms = Decimal(payload["unprotected_s"]) * 1_000
    return "Stop and take profit stand on the exchange", (
        Line(
            f"stop {number(payload['stop_price'])}, take profit {number(payload['take_profit_price'])}; "
            f"unprotected for {unprotected_ms:,.0f} ms"
        ),
    )


def _opened(payload: Payload) -> Narration:
    position = payload["position"]
    return "The position is open", (
        Line(
            f"{position['side']} {number(position['quantity'])} {position['symbol']} at "
            f"{number(position['entry_price'])}, {position['leverage']}x, margin "
            f"{_usdt(position['margin_usdt'])}, risk {_usdt(position['risk_usdt'])}"
        ),
    )


def _closed(payload: Payload) -> Narration:
    pnl, fees, funding = (Decimal(payload[key]) for key in ("pnl_usdt", "fees_usdt", "funding_usdt"))
    net = pnl - fees + funding
    lines = [
        Line(f"{number(payload['position']['quantity'])} at {number(payload['exit_price'])}"),
        Line(f"profit {pnl:+,.2f}, fees {fees:,.2f}, funding {funding:+,.2f} USDT"),
        Line(f"net {net:+,.2f} USDT", Mark.GOOD if net > 0 else Mark.BAD if net < 0 else Mark.NONE),
    ]
    if payload.get("closed_by"):
        lines.insert(1, Line(f"asked for by {payload['closed_by']}"))
    return f"The position closed: {payload['reason'].replace('_', ' ')}", lines


def _close_requested(payload: Payload) -> Narration:
    what = payload["symbol"] or "all positions"
    reason = payload["reason"].replace("_", " ")
    return f"Close of {what} requested: {reason}, by {payload['requested_by']}", ()


def _close_ignored(payload: Payload) -> Narration:
    return f"Nothing to close: {payload['reason']}", ()


def _order_ended(payload: Payload) -> Narration:
    lines = (Line(payload["detail"]),) if payload.get("detail") else ()
    return f"The entry ended without a position: {payload['outcome']}, {payload['reason']}", lines


def _signal_ended(payload: Payload) -> Narration:
    return f"BRAIN ended it: {payload['outcome']}, {payload['reason']}", ()


def _unknown(payload: Payload) -> Narration:
    return "", [Line(f"{name}: {value}") for name, value in payload.items()]


def _proposed_by_hand(_: Payload) -> Narration:
    return "An operator proposed it by hand; there was nothing to score", ()


NARRATORS: Mapping[str, Callable[[Payload], Narration]] = {
    "analysis.completed.v1": _analysed,
    "signal.manual.v1": _proposed_by_hand,
    "trade.approved.v1": _approved,
    "trade.rejected.v1": _rejected,
    "trade.close.v1": _close_requested,
    "order.placed.v1": _placed,
    "order.filled.v1": _filled,
    "order.ended.v1": _order_ended,
    "protection.placed.v1": _protected,
    "position.opened.v1": _opened,
    "position.closed.v1": _closed,
    "position.close_ignored.v1": _close_ignored,
    "signal.ended.v1": _signal_ended,
}


def _is_analysis(event: Mapping[str, Any]) -> bool:
    return bool(event["schema"] == "analysis.completed.v1")


def _since(start: datetime, moment: str) -> int:
    return round((datetime.fromisoformat(moment) - start).total_seconds() * 1_000)


def _usdt(amount: str) -> str:
    return f"{money(amount)} USDT"
