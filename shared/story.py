"""The story of a signal as a person would tell it, from BRAIN's answer to `GET /signals/{id}`.

Pure: a JSON document in, chapters out. What a later version tells under a new schema is shown as it is, never
left out. Times are milliseconds since the alert was received. The sentences are `story_words`.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.story_endings import books_completed, closed, in_words, net_line, order_refused
from shared.story_lines import Chapter, Line, Mark, Narration, Payload
from shared.story_words import ENGLISH, StoryWords
from shared.wording import money, number, percent, readable

CHECK_MARKS = {"pass": Mark.GOOD, "resize": Mark.CHANGED, "refuse": Mark.BAD}
OUTCOME_MARKS = {
    "opened": Mark.GOOD,
    "closed": Mark.GOOD,
    "no_op": Mark.CHANGED,
    "expired": Mark.CHANGED,
    "rejected": Mark.BAD,
    "failed": Mark.BAD,
}
GIVEN = ("confidence", "price", "rsi", "macd")
"""What an alert may bring along, in the order in which it is told."""


def tell(document: Mapping[str, Any], words: StoryWords = ENGLISH) -> list[Chapter]:
    """Return the chapters in the order they happened; the last one is what happened last."""
    received = datetime.fromisoformat(document["signal"]["received_at"])
    events = sorted(document["story"], key=lambda event: datetime.fromisoformat(event["occurred_at"]))
    timed: list[tuple[int, int, Chapter]] = []
    if document.get("analysis") and not any(_is_analysis(event) for event in events):
        scored = Chapter(words("scored"), None, _analysis_lines(document["analysis"], words))
        timed.append((0, _EVENT, scored))
    for event in events:
        if event["schema"] != "signal.received.v1":
            chapter = _event(event, received, words)
            timed.append((chapter.at_ms or 0, _EVENT, chapter))
    for trade in document.get("closed", ()):
        chapter = _trade_closed(trade, received, words)
        timed.append((chapter.at_ms or 0, _EVENT, chapter))
    outcome = _outcome(document, received, words)
    timed.append((_place_of(outcome, events, received), _OUTCOME, outcome))
    return [_alert(document, words), *(chapter for _, _, chapter in sorted(timed, key=_place))]


_EVENT, _OUTCOME = 0, 1
"""Of one moment: the outcome follows the event that decided it."""


def _place(timed: tuple[int, int, Chapter]) -> tuple[int, int]:
    at_ms, rank, _ = timed
    return at_ms, rank


def _event(event: Mapping[str, Any], received: datetime, words: StoryWords) -> Chapter:
    title, lines = NARRATORS.get(event["schema"], _unknown)(event["payload"], words)
    return Chapter(title or event["schema"], _since(received, event["occurred_at"]), lines)


def _place_of(outcome: Chapter, events: Sequence[Mapping[str, Any]], received: datetime) -> int:
    """Return the moment by which the outcome is told: its own, or last of all when there is none; but a
    position that ended did so after it was opened, whatever clock decided.
    """
    if outcome.at_ms is None:
        return sys.maxsize
    ends = [
        _since(received, event["occurred_at"]) - 1
        for event in events
        if event["schema"] == "position.closed.v1"
    ]
    return min([outcome.at_ms, *ends])


def _alert(document: Mapping[str, Any], words: StoryWords) -> Chapter:
    signal = document["signal"]
    given = [
        words(f"given_{name}", value=number(str(signal[name])))
        for name in GIVEN
        if signal.get(name) is not None
    ]
    origin = signal.get("origin", "alert")
    lines = [
        Line(words("origin", signal=signal["signal_id"], strategy=signal["strategy"], origin=origin)),
        Line(", ".join(given)),
        Line(words("received", at=signal["received_at"])),
    ]
    lines += [Line(words("dropped", what=each), Mark.CHANGED) for each in signal.get("dropped", ())]
    if document.get("duplicate_of"):
        lines.append(Line(words("repeat", signal=document["duplicate_of"]), Mark.CHANGED))
    return Chapter(words("alert", action=words.name(signal["action"]), symbol=signal["symbol"]), 0, lines)


def _outcome(document: Mapping[str, Any], received: datetime, words: StoryWords) -> Chapter:
    outcome = document.get("outcome")
    if outcome is None:
        return Chapter(words("no_outcome"), None, (Line(words("on_its_way"), Mark.CHANGED),))
    mark = OUTCOME_MARKS.get(outcome["outcome"], Mark.NONE)
    return Chapter(
        words("outcome"),
        _since(received, outcome["decided_at"]),
        (Line(words("ended", **_end(outcome, words)), mark),),
    )


def _trade_closed(trade: Payload, received: datetime, words: StoryWords) -> Chapter:
    """Return what an exit brought: the trade's own story tells the rest."""
    net = Decimal(trade["net_pnl_usdt"])
    title = words(
        "closes",
        symbol=trade["symbol"],
        reason=in_words(trade["reason"] or "", words),
        signal=trade["signal_id"],
    )
    return Chapter(title, _since(received, trade["closed_at"]), (net_line(net, words),))


def _analysis_lines(analysis: Payload, words: StoryWords) -> list[Line]:
    lines = [
        Line(f"{one['name']} = {number(one['value'])}   {readable(one['input'])} → {one['rule']}")
        for one in analysis["factors"]
    ]
    if analysis.get("defaulted"):
        lines.append(Line(words("defaulted", names=", ".join(analysis["defaulted"])), Mark.CHANGED))
    scores = words(
        "scores",
        technical=number(analysis["technical"]),
        phoenix=number(analysis["phoenix"]),
        market=number(analysis["market"]),
        score=number(analysis["phoenix95_score"]),
        final=number(analysis["final_confidence"]),
        level=analysis["risk_level"],
    )
    return [*lines, Line(scores), *(_gate(gate, words) for gate in analysis["gates"])]


def _gate(gate: Payload, words: StoryWords) -> Line:
    has_passed = Decimal(gate["value"]) >= Decimal(gate["minimum"])
    text = words(
        "gate_passed" if has_passed else "gate_not_passed",
        name=words.name(gate["name"]),
        value=number(gate["value"]),
        minimum=number(gate["minimum"]),
    )
    return Line(text, Mark.GOOD if has_passed else Mark.BAD)


def _analysed(payload: Payload, words: StoryWords) -> Narration:
    analysis = payload.get("analysis")
    if not analysis:
        return words("nothing_to_score"), ()
    lines = _analysis_lines(analysis, words)
    edge = payload.get("edge")
    if edge:
        odds = words(
            "odds",
            trades=edge["closed_trades"],
            rate=percent(edge["win_rate"]),
            low=percent(edge["win_rate_low"]),
            high=percent(edge["win_rate_high"]),
            win=percent(edge["average_win"]),
            loss=percent(edge["average_loss"]),
        )
        lines.append(Line(odds))
    return words("scored"), lines


def _check_lines(checks: Sequence[Payload], words: StoryWords) -> list[Line]:
    return [
        Line(_check(check, words), CHECK_MARKS.get(check["result"], Mark.NONE))
        for check in sorted(checks, key=lambda check: int(check["stage"]))
    ]


def _check(check: Payload, words: StoryWords) -> str:
    stage = f"stage_{check['stage']}"
    text = words(
        "check",
        stage=words(stage) if stage in words.phrases else check["stage"],
        name=words.name(check["name"]),
        measured=readable(check["measured"]),
        limit=check["limit"],
        result=words.name(check["result"]),
    )
    return f"{text} ({words.name(check['reason'])})" if check.get("reason") else text


def _approved(payload: Payload, words: StoryWords) -> Narration:
    size = payload["sizing"]
    lines = (
        words(
            "size_probe" if size["probe"] else "size",
            kelly=percent(size["kelly_fraction"]),
            margin=percent(size["margin_fraction"]),
        ),
        words(
            "margin",
            margin=_usdt(size["margin_usdt"]),
            leverage=size["leverage"],
            notional=_usdt(size["notional_usdt"]),
            quantity=number(size["quantity"]),
            price=number(size["reference_price"]),
        ),
        words(
            "risk",
            risk=_usdt(size["risk_usdt"]),
            stop=percent(size["stop_distance"]),
            target=percent(size["take_profit_distance"]),
            liquidation=number(size["liquidation_price"]),
        ),
    )
    title = words("approved", side=words.name(payload["side"]), until=payload["valid_until"])
    return title, [*_check_lines(payload["checks"], words), *map(Line, lines)]


def _rejected(payload: Payload, words: StoryWords) -> Narration:
    return words("rejected", **_end(payload, words)), _check_lines(payload["checks"], words)


def _placed(payload: Payload, words: StoryWords) -> Narration:
    limit = payload.get("limit_price")
    text = words(
        "placed_limit" if limit else "placed_order",
        type=payload["order_type"],
        quantity=number(payload["quantity"]),
        limit=number(limit or ""),
        order=payload["exchange_order_id"],
        client=payload["client_id"],
    )
    return words("placed"), (Line(text),)


def _filled(payload: Payload, words: StoryWords) -> Narration:
    slippage = Decimal(payload["slippage"])
    text = words(
        "fill",
        filled=number(payload["filled_quantity"]),
        quantity=number(payload["quantity"]),
        price=number(payload["average_price"]),
        slippage=percent(payload["slippage"], 4),
        judged=words("worse" if slippage > 0 else "better" if slippage < 0 else "no_difference"),
    )
    return words("filled"), (Line(text),)


def _protected(payload: Payload, words: StoryWords) -> Narration:
    text = words(
        "levels",
        stop=number(payload["stop_price"]),
        target=number(payload["take_profit_price"]),
        ms=f"{Decimal(payload['unprotected_s']) * 1_000:,.0f}",
    )
    return words("protected"), (Line(text),)


def _opened(payload: Payload, words: StoryWords) -> Narration:
    position = payload["position"]
    text = words(
        "position",
        side=words.name(position["side"]),
        quantity=number(position["quantity"]),
        symbol=position["symbol"],
        price=number(position["entry_price"]),
        leverage=position["leverage"],
        margin=_usdt(position["margin_usdt"]),
        risk=_usdt(position["risk_usdt"]),
    )
    return words("opened"), (Line(text),)


def _close_requested(payload: Payload, words: StoryWords) -> Narration:
    what = payload["symbol"] or words("all_positions")
    reason = in_words(payload["reason"], words)
    return words("close_requested", what=what, reason=reason, actor=payload["requested_by"]), ()


def _close_ignored(payload: Payload, words: StoryWords) -> Narration:
    return words("nothing_to_close", reason=words.name(payload["reason"])), ()


def _order_ended(payload: Payload, words: StoryWords) -> Narration:
    lines = (Line(payload["detail"]),) if payload.get("detail") else ()
    return words("entry_ended", **_end(payload, words)), lines


def _signal_ended(payload: Payload, words: StoryWords) -> Narration:
    return words("brain_ended", **_end(payload, words)), ()


def _unknown(payload: Payload, _: StoryWords) -> Narration:
    return "", [Line(f"{name}: {value}") for name, value in payload.items()]


def _proposed_by_hand(_: Payload, words: StoryWords) -> Narration:
    return words("proposed_by_hand"), ()


NARRATORS: Mapping[str, Callable[[Payload, StoryWords], Narration]] = {
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
    "position.closed.v1": closed,
    "position.books.v1": books_completed,
    "order.refused.v1": order_refused,
    "position.close_ignored.v1": _close_ignored,
    "signal.ended.v1": _signal_ended,
}


def _end(ended: Payload, words: StoryWords) -> dict[str, str]:
    """Return how something ended and why, in words."""
    return {"outcome": words.name(ended["outcome"]), "reason": words.name(ended["reason"])}


def _is_analysis(event: Mapping[str, Any]) -> bool:
    return bool(event["schema"] == "analysis.completed.v1")


def _since(start: datetime, moment: str) -> int:
    return round((datetime.fromisoformat(moment) - start).total_seconds() * 1_000)


def _usdt(amount: str) -> str:
    return f"{money(amount)} USDT"
