"""Settings: where they come from, who wins, what is told of a mistake, what is never shown."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from shared.errors import OperatorNeeded
from shared.settings import ENV_FILES_VARIABLE, Settings, env_files, load

SECRET = "correct-horse-battery"

NEEDED = {
    "PHOENIX_AMQP_URL": f"amqp://u:{SECRET}@127.0.0.1:5672/%2Ftrading",
    "PHOENIX_REDIS_URL": f"redis://:{SECRET}@127.0.0.1:6379/0",
    "PHOENIX_POSTGRES_URL": "postgresql://127.0.0.1:5432/phoenix",
    "PHOENIX_API_KEY": SECRET,
}


class OwnSettings(Settings):
    """What a service adds."""

    own_limit: int = Field(10, ge=1, le=20, description="A limit.")
    own_password: SecretStr = Field(SecretStr(SECRET), description="A secret.")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)


def test_defaults_are_paper_and_local() -> None:
    settings = load(OwnSettings)
    assert (settings.mode, settings.installation, settings.log_level) == ("paper", "local", "INFO")


def test_later_files_win_over_earlier_ones_and_the_environment_over_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first.env", tmp_path / "second.env"
    first.write_text("PHOENIX_INSTALLATION=a\nPHOENIX_OWN_LIMIT=1\nPHOENIX_MODE=demo\n")
    second.write_text("PHOENIX_INSTALLATION=b\nPHOENIX_OWN_LIMIT=2\n")
    monkeypatch.setenv(ENV_FILES_VARIABLE, f"{first}:{second}:{tmp_path / 'missing.env'}")
    monkeypatch.setenv("PHOENIX_OWN_LIMIT", "3")
    settings = load(OwnSettings)
    assert (settings.mode, settings.installation, settings.own_limit) == ("demo", "b", 3)


@pytest.mark.parametrize(("named", "files"), [("", ()), ("/a", ("/a",)), ("/a::/b:", ("/a", "/b"))])
def test_files_are_named_in_one_variable(
    monkeypatch: pytest.MonkeyPatch, named: str, files: tuple[str, ...]
) -> None:
    monkeypatch.setenv(ENV_FILES_VARIABLE, named)
    assert env_files() == files


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PHOENIX_MODE", "dream"),
        ("PHOENIX_INSTALLATION", "Prod-1"),
        ("PHOENIX_OWN_LIMIT", "21"),
        ("PHOENIX_OWN_LIMIT", "many"),
        ("PHOENIX_API_KEY", "short"),
        ("PHOENIX_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(OperatorNeeded, match=f"{name}: "):
        load(OwnSettings)


def test_every_missing_setting_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name)
    with pytest.raises(OperatorNeeded) as refused:
        load(OwnSettings)
    assert all(f"{name}: Field required" in str(refused.value) for name in NEEDED)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECRET not in repr(load(OwnSettings))
    monkeypatch.setenv("PHOENIX_API_KEY", "mistyped")
    with pytest.raises(OperatorNeeded) as refused:
        load(OwnSettings)
    assert "mistyped" not in str(refused.value)


def test_settings_do_not_change_while_a_service_runs() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(OwnSettings).own_limit = 5


def test_every_setting_is_described() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []
