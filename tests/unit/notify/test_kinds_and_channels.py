"""What can be set about messages: how loud each kind is, and who is told from which severity on."""

import pytest

from services.notify.telling.apprise_channel import AppriseChannel
from services.notify.telling.channels import CHANNELS_MAX, Channel, apprise_channels, telegram_chats
from services.notify.telling.kinds import NEVER_OFF, Kind, Level, levels_from
from shared.values import Severity

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
MAIL = "mailto://user:pass@example.com?to=a@example.com,b@example.com"


def test_levels_are_read() -> None:
    assert levels_from(" decision_rejected=off , position_opened=silent,") == {
        Kind.DECISION_REJECTED: Level.OFF,
        Kind.POSITION_OPENED: Level.SILENT,
    }
    assert levels_from("") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("position_opend=off", "no kind of message; there are: adl, alert_critical"),
        ("position_opened=quiet", "write position_opened=on"),
        ("position_opened", "write position_opened=on"),
        ("position_opened=on,position_opened=off", "stands twice"),
    ],
)
def test_a_wrong_level_says_what_to_write(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        levels_from(text)


@pytest.mark.parametrize("kind", sorted(NEVER_OFF))
def test_danger_cannot_be_switched_off_and_can_be_silent(kind: Kind) -> None:
    with pytest.raises(ValueError, match="cannot be off"):
        levels_from(f"{kind}=off")
    assert levels_from(f"{kind}=silent") == {kind: Level.SILENT}


def test_danger_is_what_must_be() -> None:
    assert {
        Kind.POSITION_NAKED,
        Kind.PROTECTION_FAILED,
        Kind.LIQUIDATION,
        Kind.ADL,
        Kind.TRADING_HALTED,
        Kind.ALERT_CRITICAL,
    } == NEVER_OFF


def test_several_chats_each_with_its_least_severity() -> None:
    first, second, third = telegram_chats("9500, warning:-10095,critical:@phoenix")
    assert (first.name, first.address, first.least) == ("telegram:9500", "9500", Severity.INFO)
    assert (second.address, second.least) == ("-10095", Severity.WARNING)
    assert (third.address, third.least) == ("@phoenix", Severity.CRITICAL)
    assert not second.takes(Severity.INFO)
    assert second.takes(Severity.WARNING)
    assert second.takes(Severity.CRITICAL)


@pytest.mark.parametrize("text", ["95x", "loud:95", "95 96", "95,95"])
def test_a_wrong_chat_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no chat|twice"):
        telegram_chats(text)


def test_apprise_urls_are_separated_by_spaces_or_commas_and_may_hold_commas() -> None:
    slack, mail = apprise_channels(f"{SLACK}, critical:{MAIL}")
    assert (slack.kind, slack.address, slack.least) == ("slack", SLACK, Severity.INFO)
    assert (mail.kind, mail.address, mail.least) == ("mailto", MAIL, Severity.CRITICAL)
    assert apprise_channels("") == ()


def test_a_channels_name_is_stable_and_hides_its_url() -> None:
    (slack,) = apprise_channels(SLACK)
    again = apprise_channels(f"warning:{MAIL} {SLACK}")[1]
    assert slack.name == again.name
    assert "TIiajk" not in f"{slack.name} {slack!r}"


@pytest.mark.parametrize("text", ["nonsense", "//x/y", f"{SLACK} {SLACK}"])
def test_a_wrong_url_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"no apprise URL|twice") as refused:
        apprise_channels(text)
    assert "TIiajk" not in str(refused.value)


def test_channels_are_bounded() -> None:
    with pytest.raises(ValueError, match="too many"):
        telegram_chats(",".join(str(number) for number in range(CHANNELS_MAX + 1)))


def test_a_secret_is_cut_out_of_a_refusal_as_written_and_decoded() -> None:
    url = "json://me:p%40ss%2Fword@example.org/tok%20en-1234"
    channel = AppriseChannel(Channel("json", "json-1", url, Severity.INFO))
    why = channel._scrubbed("p%40ss%2Fword, p@ss/word and tok en-1234 were refused")
    assert why == "***, *** and *** were refused"
