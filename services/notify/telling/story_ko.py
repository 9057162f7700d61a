"""The story of a signal in Korean: the sentences of `shared.story_words`. A table, and the names it uses."""

from collections.abc import Mapping

from services.notify.telling.texts_ko import KOREAN
from shared.story_words import StoryWords

PHRASES: Mapping[str, str] = {
    "alert": "알림: {symbol} {action}",
    "given_confidence": "신뢰도 {value}",
    "given_price": "가격 {value}",
    "given_rsi": "RSI {value}",
    "given_macd": "MACD {value}",
    "origin": "{signal}, 전략 {strategy}, 출처 {origin}",
    "received": "수신 {at}",
    "dropped": "쓸 수 없어 제외한 항목: {what}",
    "repeat": "{signal} 신호의 반복이며, 아래는 그 신호의 이야기입니다",
    "no_outcome": "아직 결과 없음",
    "on_its_way": "처리 중입니다",
    "outcome": "결과",
    "ended": "{outcome}: {reason}",
    "scored": "BRAIN 채점",
    "nothing_to_score": "직접 제안: 채점할 것이 없음",
    "proposed_by_hand": "운영자가 직접 제안했습니다. 채점할 것이 없었습니다",
    "defaulted": "값을 몰라 기본값 사용: {names}",
    "scores": "technical {technical}, phoenix {phoenix}, market {market} → 점수 {score}, "
    "최종 신뢰도 {final}; 시장 위험 {level}",
    "gate_passed": "{name} 관문: {value}, {minimum} 이상 — 통과",
    "gate_not_passed": "{name} 관문: {value}, {minimum} 이상 — 통과하지 못함",
    "odds": "자체 거래 {trades}건의 승산: 승률 {rate} ({low}–{high}), 평균 수익 {win}, 평균 손실 {loss}",
    "stage_1": "신호",
    "stage_2": "포지션",
    "stage_3": "포트폴리오",
    "check": "{stage} · {name}: {measured}, 한도 {limit} — {result}",
    "approved": "RISK 승인: {side}, {until}까지 유효",
    "rejected": "RISK 거절: {outcome}, {reason}",
    "size": "크기: 켈리 {kelly} → 증거금은 자산의 {margin}",
    "size_probe": "크기: 켈리 {kelly} → 증거금은 자산의 {margin} (우위를 몰라 탐색 진입)",
    "margin": "증거금 {margin} × {leverage} = {notional}, 수량 {quantity}, 기준가 {price}",
    "risk": "손절 시 손실 {risk}; 손절까지 {stop}, 익절까지 {target}; 강제청산가 {liquidation}",
    "placed": "EXECUTE 진입 주문",
    "placed_order": "{type} {quantity}, 주문 {order}, 클라이언트 ID {client}",
    "placed_limit": "{type} {quantity}, {limit} 또는 더 좋은 가격, 주문 {order}, 클라이언트 ID {client}",
    "filled": "진입 체결",
    "fill": "{quantity} 중 {filled}, 체결가 {price}, 슬리피지 {slippage} ({judged})",
    "worse": "불리",
    "better": "유리",
    "no_difference": "차이 없음",
    "protected": "거래소에 손절·익절 주문이 걸렸습니다",
    "levels": "손절 {stop}, 익절 {target}; 무방비 {ms} ms",
    "opened": "포지션 보유 시작",
    "position": "{side} {quantity} {symbol}, 진입가 {price}, {leverage}배, 증거금 {margin}, 리스크 {risk}",
    "closed": "포지션 청산: {reason}",
    "closes": "{symbol} 청산 ({reason}), 진입 신호 {signal}",
    "exit": "{quantity}, 청산가 {price}",
    "asked_by": "요청: {actor}",
    "result": "손익 {pnl}, 수수료 {fees}, 펀딩비 {funding} USDT",
    "net": "순손익 {net} USDT",
    "books_incomplete": "장부가 아직 완전하지 않음: {missing}",
    "books_completed": "포지션 장부 완성: {reason}",
    "refused": "거래소가 {order}을 거절 ({code})",
    "order_stop_loss": "손절 주문",
    "order_take_profit": "익절 주문",
    "order_close": "청산 주문",
    "next_retried": "다시 시도합니다",
    "next_form_changed": "다른 형식으로 다시 시도합니다",
    "next_whole_position": "포지션 전체를 청산하는 조건부 주문으로 대신합니다",
    "next_target_later": "손절 주문은 걸려 있으며, 익절 주문은 다시 시도합니다",
    "next_closing": "포지션을 시장가로 청산합니다",
    "close_requested": "{what} 청산 요청: {reason}, 요청자 {actor}",
    "all_positions": "모든 포지션",
    "nothing_to_close": "청산할 것이 없음: {reason}",
    "entry_ended": "포지션 없이 끝난 진입: {outcome}, {reason}",
    "brain_ended": "BRAIN 종료: {outcome}, {reason}",
}

NAMES: Mapping[str, str] = {
    **{side.value: word for side, word in KOREAN.sides.items()},
    **{outcome.value: word for outcome, word in KOREAN.outcomes.items()},
    "exit": "청산",
    "protected": "보호됨",
    "pass": "통과",
    "resize": "축소",
    "refuse": "거절",
}


def _named(name: str) -> str:
    return NAMES.get(name) or KOREAN.reason(name)


KOREAN_STORY = StoryWords(PHRASES, _named)
