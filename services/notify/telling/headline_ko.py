"""The words of the headline in Korean. Pure."""

import re
from collections.abc import Mapping

from services.notify.telling.texts_ko import KOREAN
from shared.headline_words import HeadlineWords

TITLES: Mapping[str, str] = {
    "taken": "진입과 청산을 모두 실행합니다",
    "taken_exits_wait": "진입은 받지만 청산이 지연될 수 있습니다",
    "refused": "신규 진입을 하지 않습니다. 청산은 실행합니다",
    "refused_exits_wait": "신규 진입을 하지 않으며 청산도 대기합니다",
    "unknown": "진입이 실행되는지 알 수 없습니다",
    "unknown_exits_wait": "진입이 실행되는지 알 수 없고 청산이 지연될 수 있습니다",
    "REDUCING": "일시정지",
    "HALTED": "중지됨",
}
LOOK = "phoenix.py doctor로 원인과 해결 방법을 확인하세요."
REASONS: Mapping[str, tuple[str, str]] = {
    "unprotected": (
        "거래소에 손절 주문이 없는 포지션: {symbols}.",
        "몇 초 안에 손절을 걸거나 청산합니다. 계속 남아 있으면 직접 청산하세요.",
    ),
    "trading_reducing": ("거래가 일시정지되어 있습니다.", "진입을 다시 받으려면 재개하세요."),
    "trading_halted": ("거래가 중지되어 있습니다.", "감사 기록에서 이유를 확인한 뒤 재개하세요."),
    "daily_loss": (
        "오늘 손실 {measured}, 한도 {limit}.",
        "UTC 자정 이후 다시 진입합니다. 열린 포지션의 손절은 그대로입니다.",
    ),
    "drawdown": (
        "최대 낙폭 {measured}, 한도 {limit}.",
        "기준을 초기화하기 전에 손실 원인을 살펴보세요(RUNBOOK, TradingHalted).",
    ),
    "positions_max": ("보유·예약 포지션 {measured}개, 한도 {limit}.", "하나가 청산되어야 합니다."),
    "portfolio_risk_max": (
        "손절 기준 합산 리스크 {measured}, 한도 {limit}.",
        "포지션 하나를 청산하거나 손절을 올려야 합니다.",
    ),
    "entries_per_day_max": ("오늘 진입 {measured}건, 한도 {limit}.", "UTC 자정 이후 다시 진입합니다."),
    "entries_per_minute_max": ("1분간 진입 {measured}건, 한도 {limit}.", "잠시 후 다시 진입합니다."),
    "free_balance": ("사용 가능한 잔고 {measured}.", "포지션을 청산하거나 입금하세요."),
    "account_empty": ("계좌가 비어 있습니다: {measured}.", "선물 지갑으로 USDT를 이체하세요."),
    "disk_space_low": (
        "디스크 공간 부족: 남은 공간 {measured}, 필요 {limit}.",
        "공간을 확보하면 바로 다시 진입합니다(TROUBLESHOOTING).",
    ),
    "account_data_stale": (
        "계좌 정보가 {measured} 전 것입니다. 한도 {limit}.",
        "EXECUTE가 실행 중이고 거래소가 응답하는지 확인하세요. " + LOOK,
    ),
    "market_data_stale": (
        "최신 시세가 있는 종목이 없습니다(가장 최근: {measured}, 한도 {limit}).",
        "시세 수신기와 Redis를 확인하세요. " + LOOK,
    ),
    "symbols_silent": ("시세가 멈춘 종목: {symbols}. 이 종목은 진입하지 않습니다.", ""),
    "service_not_ready": ("{service} 준비 안 됨: {detail}.", LOOK),
    "service_unknown": ("{service} 상태를 묻지 못했습니다.", LOOK),
    "risk_unknown": ("RISK의 상태를 알 수 없습니다: {detail}.", LOOK),
    "blocks_unknown": ("RISK가 진입을 막는 이유를 알려주지 않습니다.", "이전 버전입니다. 업그레이드하세요."),
    "readiness_unknown": ("서비스 준비 상태를 알 수 없습니다: {detail}.", LOOK),
    "positions_unknown": ("열린 포지션을 알 수 없습니다: {detail}.", "거래소에서 직접 확인하세요. " + LOOK),
    "foreign_without_stop": (
        "Phoenix가 열지 않았고 손절이 없는 포지션: {symbols}.",
        "Phoenix는 건드리지 않습니다. 거래소에서 손절을 걸거나 청산하세요.",
    ),
    "dead_letters": (
        "처리하지 못한 메시지 {count}건.",
        "phoenix.py dlq list로 확인하세요.",
    ),
    "alarms_critical": ("위험 경보: {names}.", "개요 페이지에 활성 경보가 있습니다."),
    "alarms_warning": ("주의 경보: {names}.", "개요 페이지에 활성 경보가 있습니다."),
    "other": ("진입 거절: {reason} ({measured}, 한도 {limit}).", LOOK),
}


def _measure(text: str) -> str:
    for pattern, replacement in KOREAN.measures:
        text = re.sub(pattern, replacement, text)
    return text


KOREAN_HEADLINE = HeadlineWords(TITLES, REASONS, _measure)
