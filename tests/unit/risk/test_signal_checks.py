"""Stage 1, each check just inside and just outside its limit."""

from typing import Any

import msgspec
import pytest

from services.risk.limits import TABLE, Decision, decide
from services.risk.proposal import proposal_of
from services.risk.verdicts import Case
from shared.errors import MessageFault
from shared.models import AnalysisCompleted
from shared.values import Action, CheckResult, OutcomeKind, RiskLevel, TradingState
from tests.unit.risk.builders import (
    NOW,
    D,
    account,
    analysis,
    book,
    case,
    gates,
    limits,
    market,
    proposal,
    seconds,
    signal,
    tick,
)


def test_healthy_proposal_passes_every_check_in_the_order_of_the_table() -> None:
    decision = decide(case())
    assert decision.is_approved
    assert [check.name for check in decision.checks] == [row.name for row in TABLE]
    assert [check.stage for check in decision.checks] == sorted(check.stage for check in decision.checks)
    assert all(check.measured and check.limit for check in decision.checks)


def _refused(decision: Decision, reason: str, outcome: OutcomeKind = OutcomeKind.REJECTED) -> None:
    assert not decision.is_approved
    assert (decision.reason, decision.outcome) == (reason, outcome)
    assert decision.checks[-1].result is CheckResult.REFUSE
    assert decision.checks[-1].reason == reason
    assert all(check.result is not CheckResult.REFUSE for check in decision.checks[:-1])


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (case(book_=book(account_=account(state=TradingState.HALTED))), "trading_halted"),
        (case(book_=book(account_=account(state=TradingState.REDUCING))), "trading_reducing"),
        (case(market_=market(instrument=None)), "symbol_unknown"),
        (case(market_=market(instrument=None, is_reachable=False)), "market_data_stale"),
        (case(limits_=limits(symbols_allowed=("ETHUSDT",))), "symbol_not_allowed"),
        (case(market_=market(tick=None)), "market_data_stale"),
        (case(market_=market(tick=tick(price=D(0)))), "market_data_stale"),
        (case(market_=market(tick=tick(received_at=NOW - seconds(5.001)))), "market_data_stale"),
        (case(book_=book(account_=account(snapshot_taken_at=None))), "account_data_stale"),
        (case(book_=book(account_=account(snapshot_taken_at=NOW - seconds(10.001)))), "account_data_stale"),
        (case(book_=book(account_=account(snapshot_taken_at=NOW + seconds(2.001)))), "account_data_stale"),
        (case(book_=book(account_=account(0))), "account_empty"),
        (case(proposal_=proposal(score=analysis(gates=gates(confidence="0.249")))), "confidence_gate"),
        (case(proposal_=proposal(score=analysis(gates=gates(score="0.449")))), "score_gate"),
        (case(proposal_=proposal(score=analysis(gates=gates(final="0.849")))), "final_gate"),
        (case(proposal_=proposal(score=analysis(gates=()))), "confidence_gate"),
        (case(proposal_=proposal(score=analysis(risk_level=RiskLevel.CRITICAL))), "risk_level"),
    ],
)
def test_first_stage_refuses_with_a_stable_reason(spoiled: Case, reason: str) -> None:
    _refused(decide(spoiled), reason)


@pytest.mark.parametrize(
    "kept",
    [
        case(limits_=limits(symbols_allowed=("BTCUSDT",))),
        case(market_=market(tick=tick(received_at=NOW - seconds(5)))),
        case(book_=book(account_=account(snapshot_taken_at=NOW - seconds(10)))),
        case(book_=book(account_=account(snapshot_taken_at=NOW + seconds(2)))),
        case(proposal_=proposal(signal(received_at=NOW - seconds(30)))),
        case(proposal_=proposal(signal(price=None))),
        case(
            proposal_=proposal(signal(price=D(50_000)), score=analysis(gates=gates("0.25", "0.45", "0.85")))
        ),
        case(proposal_=proposal(score=analysis(risk_level=RiskLevel.HIGH))),
        case(
            proposal_=proposal(score=analysis(risk_level=RiskLevel.CRITICAL)),
            limits_=limits(risk_level_max=RiskLevel.CRITICAL),
        ),
        case(proposal_=proposal(is_manual=True)),
    ],
)
def test_just_inside_its_limit_each_signal_is_approved(kept: Case) -> None:
    assert decide(kept).is_approved


@pytest.mark.parametrize(
    "times",
    [
        {"received_at": NOW - seconds(30.001)},
        {"received_at": NOW, "alert_time": NOW - seconds(30.001)},
        # A clock that runs ahead does not make an alert younger than its receipt.
        {"received_at": NOW - seconds(31), "alert_time": NOW + seconds(3_600)},
    ],
)
def test_old_entry_expires(times: dict[str, Any]) -> None:
    _refused(decide(case(proposal_=proposal(signal(**times)))), "signal_too_old", OutcomeKind.EXPIRED)


@pytest.mark.parametrize(
    ("price", "expires"), [("50250", False), ("49750", False), ("50250.1", True), ("49749.9", True)]
)
def test_entry_whose_price_moved_more_than_half_a_percent_expires(price: str, expires: bool) -> None:
    decision = decide(case(market_=market(tick=tick(price=D(price)))))
    assert decision.is_approved is not expires
    if expires:
        _refused(decision, "price_moved", OutcomeKind.EXPIRED)


def test_first_refusal_ends_the_checks_and_what_was_checked_before_is_kept() -> None:
    stale = market(tick=tick(received_at=NOW - seconds(60)))
    decision = decide(case(market_=stale, book_=book(account_=account(snapshot_taken_at=None))))
    assert [check.name for check in decision.checks] == [
        "trading_state",
        "disk_space",
        "symbol",
        "signal_age",
        "market_data",
    ]


def test_exit_is_no_proposal() -> None:
    leaving = msgspec.structs.replace(signal(), action=Action.EXIT)
    with pytest.raises(MessageFault):
        proposal_of(AnalysisCompleted(signal=leaving, analysis=None, edge=None))
