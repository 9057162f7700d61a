"""Documents and reports as a person reads them on a phone: short lines and no tables.

Pure. Amounts arrive as our documents have them (decimal text, None when unknown). It must never round a limit
that was missed into one that was reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from services.notify.chat.account_views import (
    SIDES,
    Document,
    foreign_lines,
    in_words,
    order_lines,
    price_text,
    result_line,
    short_foreign,
)
from services.notify.chat.commands import Ask, Press, button_data
from services.notify.chat.texts import Phrases
from services.notify.chat.vocabulary import Button, Reply, fits_button
from services.notify.report_rows import PeriodResult, SignalLine, StrategyResult, Totals
from services.notify.telling.message_format import short_id
from shared.headline import Headline, Situation, Tone, Weight, headline_of
from shared.money import ZERO
from shared.story import tell
from shared.story_lines import Chapter, Line, Mark
from shared.values import Side, liquidation_danger
from shared.wording import DASH, cents, duration, money, number, percent, signed

WHY_LINES_WHOLE = 3
"""A chapter of the story with more lines than this is shown by what changed or failed and its last words."""
WHY_LAST_WORDS = 2
SIGNAL_BUTTONS_MAX = 5
POSITION_BUTTONS_MAX = 8
SCORE_STEP = Decimal("0.001")
AGE_STEP = Decimal("0.1")

_MARKS = {Mark.NONE: "", Mark.GOOD: "✓ ", Mark.CHANGED: "≈ ", Mark.BAD: "✗ "}
_TONES = {Tone.GOOD: "🟢", Tone.WARN: "🟡", Tone.BAD: "🔴", Tone.UNKNOWN: "⚪"}
_FRACTION = ("fraction", "share")


class ChatViews:
    """Renders in one language."""

    def __init__(self, say: Phrases) -> None:
        self._say = say

    def duration(self, length: timedelta) -> str:
        """Return a length of time in its two largest units."""
        return duration(length, self._say.units)

    def status(
        self,
        risk: Document,
        positions: Sequence[Document],
        foreign: Sequence[Document],
        headline: Headline,
        mode: str,
    ) -> Reply:
        """Return whether trades are made, why not, the account and the day at one look."""
        say = self._say
        lines = [
            *(f"▪ {line.what} {line.remedy}".rstrip() for line in say.headline.lines(headline)),
            say("equity", equity=money(risk["equity_usdt"])),
            self._today(risk),
            say("free", available=money(risk["available_usdt"])),
            say("drawdown", drawdown=percent(risk["drawdown"])),
            say("open_count", count=len(positions)),
            *(self._short(one) for one in positions),
            *(short_foreign(one, say) for one in foreign),
            say("mode", mode=mode) + " · " + self._age(risk["snapshot_age_s"]),
        ]
        title = f"{_TONES[headline.tone]} {say.headline.title(headline)}"
        return Reply(title, lines, (self._refresh(Ask.STATUS),))

    def positions(
        self,
        positions: Sequence[Document],
        now: datetime,
        foreign: Sequence[Document] = (),
        orders: Sequence[Document] = (),
    ) -> Reply:
        """Return every open position in a few lines, with its buttons; then what is not ours."""
        lines: list[str] = []
        for one in positions:
            lines += [self._name(one), *self._prices(one), self._held(one, now), ""]
        for one in foreign:
            lines += [short_foreign(one, self._say), *foreign_lines(one, self._say), ""]
        lines += order_lines(orders, self._say)
        title = self._say("nothing_open")
        if positions:
            pnl = money(pnl_of(positions), sign=True)
            title = self._say("positions_title", count=len(positions), pnl=pnl)
        rows = [self._position_buttons(one) for one in positions[:POSITION_BUTTONS_MAX]]
        return Reply(title, lines[:-1], (*rows, self._refresh(Ask.POSITIONS)))

    def position(self, one: Document, now: datetime) -> Reply:
        """Return one position in full."""
        say = self._say
        lines = [
            *self._prices(one),
            say("quantity_leverage", quantity=number(one["quantity"]), leverage=one["leverage"] or DASH),
            say("margin_risk", margin=money(one["margin_usdt"]), risk=money(one.get("risk_usdt"))),
            *([say("cross_margin")] if one.get("is_isolated") is False else []),
            *self._liquidation(one),
            self._held(one, now),
            say("strategy_signal", strategy=one["strategy"], signal=short_id(one["signal_id"])),
        ]
        return Reply(self._name(one), lines, (self._position_buttons(one),))

    def why(self, document: Document) -> Reply:
        """Return the story of a signal, what passed without a word folded together."""
        first, *others = tell(document, self._say.story)
        lines = list(self._told(first))
        for chapter in others:
            at = "" if chapter.at_ms is None else f" +{chapter.at_ms:,} ms"
            lines += ["", f"▪ {chapter.title}{at}", *self._told(chapter)]
        return Reply(first.title, lines)

    def signals(self, signals: Sequence[SignalLine]) -> Reply:
        """Return the newest signals and how they ended."""
        if not signals:
            return Reply(self._say("no_signals"))
        lines: list[str] = []
        for one in signals:
            ended = result_line(one, self._say)
            lines.append(
                f"{one.received_at:%d. %H:%M} {SIDES.get(one.action, '■')} {one.symbol} {one.action}"
            )
            lines.append(f"   {ended}")
            if one.phoenix95_score is not None and one.final_confidence is not None:
                score, final = _score(one.phoenix95_score), _score(one.final_confidence)
                lines.append("   " + self._say("scored", score=score, final=final))
        shown = signals[:SIGNAL_BUTTONS_MAX]
        rows = [self._why_button(one.symbol, one.signal_id) for one in shown]
        return Reply(self._say("signals_title"), lines, rows)

    def profit(self, totals: Totals, by_strategy: Sequence[StrategyResult], days: int) -> Reply:
        """Return what the last days brought."""
        say = self._say
        title = say("profit_title", days=days, net=signed(totals.net_usdt))
        if not totals.trades:
            return Reply(title, (say("no_trades"),))
        share = f"{Decimal(100 * totals.wins) / totals.trades:.0f}"
        lines = [
            say("trades_wins", trades=totals.trades, wins=totals.wins, share=share),
            say("fees", fees=cents(totals.fees_usdt)),
            *(self._strategy(one) for one in by_strategy),
        ]
        return Reply(title, lines)

    def periods(self, ask: Ask, results: Sequence[PeriodResult]) -> Reply:
        """Return the result of each of the newest periods in which something closed."""
        form = "{:%Y-%m}" if ask is Ask.MONTHLY else "{:%m-%d}"
        lines = [
            self._say(
                "period_line",
                starts=form.format(one.starts_at),
                net=signed(one.net_usdt),
                wins=one.wins,
                trades=one.trades,
            )
            for one in results
        ]
        return Reply(self._say(f"{ask}_title"), lines or (self._say("no_trades"),))

    def performance(self, results: Sequence[StrategyResult], days: int) -> Reply:
        """Return the result of each strategy, the best first."""
        lines = [self._strategy(one) for one in results]
        return Reply(self._say("performance_title", days=days), lines or (self._say("no_trades"),))

    def balance(self, risk: Document, positions: Sequence[Document]) -> Reply:
        """Return where the money is."""
        say = self._say
        margin = sum((Decimal(one["margin_usdt"] or 0) for one in positions), ZERO)
        lines = [
            say("wallet", wallet=money(risk["wallet_usdt"])),
            say("equity", equity=money(risk["equity_usdt"])),
            say("free", available=money(risk["available_usdt"])),
            say("margin_used", margin=cents(margin)),
            say("unrealised", pnl=money(pnl_of(positions), sign=True)),
            self._age(risk["snapshot_age_s"]),
        ]
        return Reply(say("balance_title"), lines)

    def risk(self, risk: Document) -> Reply:
        """Return the limits of which something is used."""
        lines = [
            self._say(
                "limit_used", name=_limit_name(one), used=_limit(one, "used"), limit=_limit(one, "limit")
            )
            for one in risk["limits"]
            if one["used"] is not None
        ]
        refused = headline_of(Situation(risk=risk, readiness={}, positions=()))
        blocks = [
            f"▪ {line.what} {line.remedy}"
            for reason, line in zip(refused.reasons, self._say.headline.lines(refused), strict=True)
            if reason.weight is Weight.BLOCK
        ]
        return Reply(self._say("risk_title"), [self._say("state_is", state=risk["state"]), *blocks, *lines])

    def limits(self, risk: Document) -> Reply:
        """Return every limit in force."""
        lines = [
            self._say("limit_line", name=_limit_name(one), limit=_limit(one, "limit"))
            for one in risk["limits"]
        ]
        return Reply(self._say("limits_title", profile=risk["profile"]), lines)

    def health(self, found: Mapping[str, Document]) -> Reply:
        """Return which services are ready, and what those that are not complain of."""
        lines = []
        for service, readiness in found.items():
            bad = {name: told for name, told in readiness.get("dependencies", {}).items() if told != "ok"}
            if readiness.get("ready"):
                lines.append(self._say("part_good", service=service.upper()))
            else:
                detail = "; ".join(f"{name}: {told}" for name, told in bad.items())
                lines.append(self._say("part_bad", service=service.upper(), detail=detail or DASH))
        is_good = all(readiness.get("ready") for readiness in found.values())
        return Reply(self._say("health_title_good" if is_good else "health_title_bad"), lines)

    def noted(self, reply: Reply, detail: str | None) -> Reply:
        """Return the reply with a word on why it is not live, if it is not."""
        if detail is None:
            return reply
        return replace(reply, lines=[*reply.lines, self._say("not_live", detail=detail)])

    def _today(self, risk: Document) -> str:
        pnl, equity = risk.get("day_pnl_usdt"), risk["equity_usdt"]
        if pnl is None or equity is None or Decimal(equity) == Decimal(pnl):
            return self._say("today", pnl=money(pnl, sign=True))
        share = Decimal(pnl) / (Decimal(equity) - Decimal(pnl)) * 100
        return self._say("today_share", pnl=money(pnl, sign=True), share=f"{share:+.2f}")

    def _age(self, age_s: str | None) -> str:
        if age_s is None:
            return self._say("no_account_data")
        return self._say("account_age", age=self.duration(timedelta(seconds=int(Decimal(age_s)))))

    def _short(self, one: Document) -> str:
        pnl = money(one["unrealised_pnl_usdt"], sign=True)
        warning = "" if one["protected_at"] else " ⚠"
        return f"{SIDES[one['side']]} {one['symbol']} {pnl}{warning}"

    def _name(self, one: Document) -> str:
        pnl = money(one["unrealised_pnl_usdt"], sign=True)
        return f"{SIDES[one['side']]} {one['symbol']} {one['side']} {number(one['quantity'])}  {pnl} USDT"

    def _prices(self, one: Document) -> list[str]:
        entry, mark = price_text(one["entry_price"]), one["mark_price"]
        lines = [
            self._say("at_entry", entry=entry)
            if mark is None
            else self._say("at", entry=entry, mark=price_text(mark)),
            self._say("stop_target", stop=self._level(one, "stop"), target=self._level(one, "take_profit")),
        ]
        return lines if one["protected_at"] else [*lines, self._say("unprotected")]

    def _level(self, one: Document, name: str) -> str:
        price = one[f"{name}_price"]
        return self._say("none") if price is None else price_text(price)

    def _liquidation(self, one: Document) -> list[str]:
        price = one.get("liquidation_price")
        if price is None or Decimal(price) == ZERO:
            return []
        danger = danger_of(one)
        if danger is None:
            return [self._say("liquidation_at", price=price_text(price))]
        return [self._say("liquidation", price=price_text(price), danger=percent(str(danger), 0))]

    def _held(self, one: Document, now: datetime) -> str:
        opened_at = one["opened_at"]
        held = DASH if opened_at is None else self.duration(now - datetime.fromisoformat(opened_at))
        return self._say("held_for", held=held)

    def _told(self, chapter: Chapter) -> list[str]:
        lines = chapter.lines
        if len(lines) <= WHY_LINES_WHOLE:
            return [_marked(line) for line in lines if line.text]
        last = [line for line in lines if line.mark is Mark.NONE][-WHY_LAST_WORDS:]
        shown = [line for line in lines if line.mark in (Mark.CHANGED, Mark.BAD) or line in last]
        passed = sum(line.mark is Mark.GOOD for line in lines)
        folded = [self._say("checks_passed", count=passed)] if passed else []
        return [_marked(line) for line in shown] + folded

    def _strategy(self, one: StrategyResult) -> str:
        return self._say(
            "performance_line",
            strategy=one.strategy,
            symbol=one.symbol,
            net=signed(one.net_usdt),
            wins=one.wins,
            trades=one.trades,
        )

    def _refresh(self, ask: Ask) -> Sequence[Button]:
        return (Button(self._say("refresh"), button_data(Press.REFRESH, ask)),)

    def _position_buttons(self, one: Document) -> Sequence[Button]:
        symbol = one["symbol"]
        close = Button(self._say("close", symbol=symbol), button_data(Press.CLOSE, symbol))
        return *self._why_button(symbol, one["signal_id"]), close

    def _why_button(self, symbol: str, signal_id: str) -> Sequence[Button]:
        """Return the button, or none for an id that is too long to be carried by one."""
        data = button_data(Press.WHY, signal_id)
        return (Button(self._say("why", symbol=symbol), data),) if fits_button(data) else ()


def pnl_of(positions: Sequence[Document]) -> str | None:
    """Return the open result of all positions together, None when it is not known of each."""
    known = [one["unrealised_pnl_usdt"] for one in positions]
    return None if None in known else str(sum(map(Decimal, known), ZERO))


def danger_of(one: Document) -> Decimal | None:
    """Return the share of the way from entry to liquidation that the mark has used up, None when unknown."""
    entry, mark, end = one["entry_price"], one["mark_price"], one["liquidation_price"]
    if entry is None or mark is None or end is None:
        return None
    return liquidation_danger(Side(one["side"]), Decimal(entry), Decimal(mark), Decimal(end))


def _marked(line: Line) -> str:
    return _MARKS[line.mark] + line.text


def _limit(one: Document, key: str) -> str:
    """Return a limit, or what is used of it, in its unit; an age is rounded up, not back below its limit."""
    value, unit = one[key], one["unit"]
    if not value:
        return DASH
    if unit == "s":
        return f"{number(str(Decimal(value).quantize(AGE_STEP, ROUND_UP)))} s"
    if unit.startswith(_FRACTION):
        return percent(value)
    return number(value) + ("x" if unit == "x" else "")


def _limit_name(one: Document) -> str:
    return in_words(one["name"].removesuffix("_s").removesuffix("_max"))


def _score(value: Decimal) -> str:
    """Return a score cut short, never rounded up: 0.8499 did not reach a gate of 0.85."""
    return str(value.quantize(SCORE_STEP, ROUND_DOWN))
