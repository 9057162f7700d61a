"""How a position ended, as a story tells it: its result, what its books lack, what was refused. Pure."""

from decimal import Decimal

from shared.story_lines import Line, Mark, Narration, Payload
from shared.story_words import StoryWords
from shared.wording import number


def closed(payload: Payload, words: StoryWords) -> Narration:
    """Tell how a position ended, and what it came to where that is known."""
    exit_lines, result_lines = _result(payload, words)
    lines = list(exit_lines)
    if payload.get("closed_by"):
        lines.append(Line(words("asked_by", actor=payload["closed_by"])))
    if payload.get("detail"):
        lines.append(Line(payload["detail"]))
    if payload.get("missing"):
        lines.append(Line(words("books_incomplete", missing=payload["missing"]), Mark.BAD))
    else:
        lines += result_lines
    return words("closed", reason=in_words(payload["reason"], words)), lines


def books_completed(payload: Payload, words: StoryWords) -> Narration:
    """Tell what a position came to whose books were incomplete."""
    exit_lines, result_lines = _result(payload, words)
    return words("books_completed", reason=in_words(payload["reason"], words)), [*exit_lines, *result_lines]


def _result(payload: Payload, words: StoryWords) -> tuple[list[Line], list[Line]]:
    """Return the lines of the exit, and those of what it came to."""
    pnl, fees, funding = (Decimal(payload[key]) for key in ("pnl_usdt", "fees_usdt", "funding_usdt"))
    net = pnl - fees + funding
    exit_lines: list[Line] = []
    if payload["exit_price"] is not None:
        quantity = number(payload["position"]["quantity"])
        exit_lines.append(Line(words("exit", quantity=quantity, price=number(payload["exit_price"]))))
    result = words("result", pnl=f"{pnl:+,.2f}", fees=f"{fees:,.2f}", funding=f"{funding:+,.2f}")
    return exit_lines, [Line(result), net_line(net, words)]


def order_refused(payload: Payload, words: StoryWords) -> Narration:
    """Tell what the exchange refused, in its words, and what follows."""
    title = words("refused", order=words(f"order_{payload['role']}"), code=payload["code"])
    return title, (Line(payload["text"], Mark.BAD), Line(words(f"next_{payload['next_step']}")))


def net_line(net: Decimal, words: StoryWords) -> Line:
    """Return the line of a result."""
    mark = Mark.GOOD if net > 0 else Mark.BAD if net < 0 else Mark.NONE
    return Line(words("net", net=f"{net:+,.2f}"), mark)


def in_words(reason: str, words: StoryWords) -> str:
    """Return a reason as words."""
    return words.name(reason).replace("_", " ")
