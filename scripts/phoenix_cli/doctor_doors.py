"""The doors and those behind them: the services, the webhook, the exchange's preflight, Telegram.

Everything here only reads. A bot token is never shown, not even in an error's text.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from scripts.phoenix_cli.api import Api
from scripts.phoenix_cli.checkup import Finding, green, grey, red, yellow
from scripts.phoenix_cli.failures import Failure
from scripts.phoenix_cli.installation import PROCESSES, Installation
from services.notify.telling.channels import telegram_chats
from shared.wording import seconds

TELEGRAM_TIMEOUT_S = 5.0
ACCOUNT_AGE_S_MAX = 15.0
"""Older account data than RISK approves on, with room for one report that was late."""
TELEGRAM_DEFAULT = "https://api.telegram.org"
START = (
    "./scripts/start.sh starts it; why it stopped is in the home's logs/ (containers: docker compose logs)."
)
HTTP_METHOD_NOT_ALLOWED = 405
POINT_SUBJECTS = {
    "account": "exchange account",
    "one_way_mode": "exchange: one-way",
    "single_asset_mode": "exchange: asset mode",
    "leverage_brackets": "exchange: brackets",
    "clock": "exchange: clock",
    "key_rights": "exchange: key",
    "no_withdrawal": "exchange: withdrawal",
    "address_restriction": "exchange: addresses",
    "futures_right": "exchange: futures",
}
_WARNED_ONLY = frozenset({"address_restriction"})


def services(api: Api) -> tuple[list[Finding], bool]:
    """Return whether each service is ready, and if not, what it waits for; and whether any answers at all."""
    with ThreadPoolExecutor(max_workers=len(PROCESSES)) as pool:
        answers = dict(zip(PROCESSES, pool.map(api.readiness, PROCESSES), strict=True))
    findings = []
    for name, found in answers.items():
        subject = name.replace("_", " ")
        wrong = [f"{what}: {said}" for what, said in found["dependencies"].items() if said != "ok"]
        if found["ready"]:
            findings.append(_ready(subject, found))
        elif found["reached"]:
            findings.append(
                red(
                    subject, f"not ready: {'; '.join(wrong)}", "Mend what it waits for; it goes on by itself."
                )
            )
        else:
            findings.append(red(subject, f"does not answer: {'; '.join(wrong)}", START))
    return findings, any(found["reached"] for found in answers.values())


def _ready(subject: str, found: Mapping[str, Any]) -> Finding:
    said = f"ready, mode {found.get('mode', '?')}"
    without = "; ".join((found.get("degraded") or {}).values())
    if not without:
        return green(subject, said)
    return yellow(
        subject, f"{said}; {without}", "The rest works. docs/RUNBOOK.md, SymbolLeftOut and MarketDataOld."
    )


def webhook(api: Api) -> Iterable[Finding]:
    """Yield whether the public door leads to the webhook; nothing is sent through it."""
    try:
        status = api.webhook_status()
    except Failure as failure:
        yield red("webhook", f"{failure.title}: {failure.detail}", START)
        return
    if status == HTTP_METHOD_NOT_ALLOWED:
        yield green("webhook", "the public port leads to it (from this machine; TradingView needs 80 or 443)")
    else:
        yield red(
            "webhook", f"the public port answers HTTP {status}", "BRAIN is away or the port is another's."
        )


def trading(api: Api) -> Iterable[Finding]:
    """Yield whether RISK lets entries through."""
    try:
        account = api.get("risk", "/status")
    except Failure as failure:
        yield grey("trading state", failure.title)
        return
    state, age_s = str(account["state"]), account["snapshot_age_s"]
    if age_s is None or float(age_s) > ACCOUNT_AGE_S_MAX:
        age = "never reported" if age_s is None else f"{seconds(age_s)} s old"
        yield red(
            "account data", age, "No entry is approved without; EXECUTE reports it: see it and the exchange."
        )
    if state == "ACTIVE":
        yield green("trading state", f"ACTIVE, account data {seconds(age_s)} s old")
    else:
        yield yellow(
            "trading state",
            f"{state}: no new entries, exits go on",
            "If the reason is gone: python3 scripts/phoenix.py resume --reason '…'",
        )


def exchange(api: Api) -> Iterable[Finding]:
    """Yield each point of EXECUTE's preflight."""
    try:
        report = api.get("execute", "/preflight")
    except Failure as failure:
        yield grey("exchange", f"EXECUTE does not tell: {failure.title}")
        return
    if not report["points"]:
        yield yellow(
            "exchange", "nothing was looked at", "EXECUTE could not ask it yet; try again in a minute."
        )
    for point in report["points"]:
        name, result = str(point["name"]), str(point["result"])
        subject, said, do = POINT_SUBJECTS.get(name, name), str(point["said"]), str(point["advice"])
        if result == "ok":
            yield green(subject, said)
        elif result == "not_applicable":
            yield grey(subject, said)
        elif result == "unknown" or name in _WARNED_ONLY:
            yield yellow(subject, said, do)
        else:
            yield red(subject, said, do)


def paper_exchange(installation: Installation) -> Iterable[Finding]:
    """Yield whether the paper exchange answers; the real one is EXECUTE's to ask."""
    base = installation.text("PHOENIX_EXCHANGE_BASE_URL")
    if base is None or (installation.text("PHOENIX_MODE") or "paper") != "paper":
        return
    try:
        answer = httpx.get(f"{base.rstrip('/')}/fapi/v1/ping", timeout=TELEGRAM_TIMEOUT_S, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        yield red("paper exchange", f"does not answer: {type(error).__name__}", START)
        return
    if answer.is_success:
        yield green("paper exchange", "answers")
    else:
        yield red("paper exchange", f"answers HTTP {answer.status_code}", START)


def telegram(installation: Installation) -> Iterable[Finding]:
    """Yield whether the bot's token is good and the bot sees its chat."""
    token = installation.text("PHOENIX_TELEGRAM_BOT_TOKEN")
    chat = installation.text("PHOENIX_TELEGRAM_CHAT_ID")
    if token is None or chat is None:
        yield grey("telegram", "not set up: messages are kept (GET /notifications) and sent to nobody")
        return
    base = installation.text("PHOENIX_TELEGRAM_BASE_URL") or TELEGRAM_DEFAULT
    try:
        chats = [each.address for each in telegram_chats(chat)]
    except ValueError as error:
        yield red("telegram", str(error), "Correct PHOENIX_TELEGRAM_CHAT_ID.")
        return
    for address in chats:
        yield _chat(base, token, address)


def _chat(base: str, token: str, chat: str) -> Finding:
    try:
        answer = httpx.get(
            f"{base}/bot{token}/getChat",
            params={"chat_id": chat},
            timeout=TELEGRAM_TIMEOUT_S,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        told = f"cannot be reached: {type(error).__name__}"
        return red("telegram", told, "Check the network and its proxy.")
    if answer.is_success:
        return green("telegram", f"the bot sees chat {chat}")
    if answer.status_code in (401, 404):
        return red(
            "telegram", "the token is refused", "Copy PHOENIX_TELEGRAM_BOT_TOKEN again from @BotFather."
        )
    return red(
        "telegram",
        f"the bot does not see chat {chat} (HTTP {answer.status_code})",
        "Write /start to the bot once, or add it to the group; check PHOENIX_TELEGRAM_CHAT_ID.",
    )
