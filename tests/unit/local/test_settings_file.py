"""phoenix.env: secrets are made once, a person's changes stay, port lines follow the base while untouched."""

import stat
from pathlib import Path

import pytest

from infrastructure.local.ports import Ports
from infrastructure.local.settings_file import SETTINGS, complete, ensure_env_file, read_env_file
from shared.errors import OperatorNeeded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "phoenix.env"


def test_first_start_writes_every_setting_readable_by_its_owner_only(path: Path) -> None:
    values = ensure_env_file(path, Ports(8000), {})
    assert set(values) == {setting.key for setting in SETTINGS}
    assert all(values.values())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_env_file(path) == values


def test_two_installations_share_no_secret() -> None:
    first, second = (complete({}, Ports(8000), {}) for _ in range(2))
    secret_keys = [key for key in first if key.endswith(("PASSWORD", "SECRET", "KEY"))]
    assert len(secret_keys) >= 10
    assert not {first[key] for key in secret_keys} & {second[key] for key in secret_keys}


def test_urls_carry_the_passwords_the_servers_get() -> None:
    values = complete({}, Ports(8000), {})
    assert values["PHOENIX_AMQP_URL"] == (
        f"amqp://phoenix:{values['PHOENIX_AMQP_PASSWORD']}@127.0.0.1:8170/%2Ftrading"
    )
    assert values["PHOENIX_REDIS_URL"] == f"redis://:{values['PHOENIX_REDIS_PASSWORD']}@127.0.0.1:8174/0"
    assert values["PHOENIX_POSTGRES_URL"] == "postgresql://127.0.0.1:8175/phoenix"


def test_second_start_changes_nothing(path: Path) -> None:
    ensure_env_file(path, Ports(8000), {})
    before = path.read_bytes()
    ensure_env_file(path, Ports(8000), {})
    assert path.read_bytes() == before


def test_another_base_moves_the_ports_and_keeps_the_secrets() -> None:
    before = complete({}, Ports(8000), {})
    after = complete(before, Ports(9000), {})
    assert after["PHOENIX_BRAIN_URL"] == "http://127.0.0.1:9100"
    assert after["PHOENIX_AMQP_URL"] == before["PHOENIX_AMQP_URL"].replace(":8170", ":9170")
    unmoved = [
        setting.key
        for setting in SETTINGS
        if not setting.follows_ports and setting.key != "PHOENIX_PORT_BASE"
    ]
    assert all(after[key] == before[key] for key in unmoved)


def test_an_address_a_person_changed_stays_when_the_base_moves() -> None:
    before = complete({}, Ports(8000), {})
    before["PHOENIX_EXCHANGE_BASE_URL"] = "https://demo-fapi.binance.com"
    assert complete(before, Ports(9000), {})["PHOENIX_EXCHANGE_BASE_URL"] == "https://demo-fapi.binance.com"


def test_comments_own_lines_and_own_values_survive(path: Path) -> None:
    path.write_text("# mine\nPHOENIX_MODE=demo\n\nPHOENIX_TELEGRAM_TOKEN=abc # note\n")
    values = ensure_env_file(path, Ports(8000), {})
    text = path.read_text()
    assert text.startswith("# mine\nPHOENIX_MODE=demo\n\nPHOENIX_TELEGRAM_TOKEN=abc # note\n")
    assert values["PHOENIX_MODE"] == "demo"
    assert values["PHOENIX_TELEGRAM_TOKEN"] == "abc"
    assert "PHOENIX_WEBHOOK_SECRET=" in text


def test_paths_of_the_caller_are_added_and_follow_a_moved_home_but_never_replace_a_persons_own() -> None:
    key, here = "PHOENIX_PAPER_DATA_DIR", {"PHOENIX_PAPER_DATA_DIR": "/here/paper_exchange"}
    assert complete({}, Ports(8000), here)[key] == "/here/paper_exchange"
    assert complete({key: "/there/paper_exchange"}, Ports(8000), here)[key] == "/here/paper_exchange"
    assert complete({key: "/mine"}, Ports(8000), here)[key] == "/mine"


def test_empty_port_base_is_none(path: Path) -> None:
    path.write_text("PHOENIX_PORT_BASE=\n")
    assert ensure_env_file(path, Ports(9000), {})["PHOENIX_PORT_BASE"] == "9000"


@pytest.mark.parametrize("text", ["abc", "80", "70000", "8000.5", "-1", "8000" * 2_000])
def test_port_base_that_is_none_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(OperatorNeeded, match=r"PHOENIX_PORT_BASE=.*write a number 1024\.\.65000"):
        complete({"PHOENIX_PORT_BASE": text}, Ports(8000), {})
