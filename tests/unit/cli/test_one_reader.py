"""Services, `config show`, `config check` and the start read a settings file alike, whatever is in it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infrastructure.local.ports import Ports
from infrastructure.local.settings_file import ensure_env_file
from infrastructure.local.stack import LocalStack
from scripts.phoenix_cli import installation
from scripts.phoenix_cli.app import app
from scripts.phoenix_cli.installation import find_installation
from services.risk.config import RiskSettings
from shared import settings as shared_settings
from shared.errors import OperatorNeeded

Config = Callable[..., Result]
KEY = "PHOENIX_RISK_PROFILE"


@pytest.fixture
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a user's .env, empty, beside a home as the first start leaves it."""
    monkeypatch.setattr(installation, "USER_FILE", tmp_path / ".env")
    (tmp_path / "home").mkdir()
    ensure_env_file(tmp_path / "home" / "phoenix.env", Ports(9000), {})
    (tmp_path / ".env").touch(mode=0o600)
    files = (tmp_path / "home" / "phoenix.env", tmp_path / ".env")
    monkeypatch.setenv("PHOENIX_ENV_FILE", ":".join(map(str, files)))
    return tmp_path / ".env"


@pytest.fixture
def config(user_file: Path) -> Config:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--home", str(user_file.parent / "home"), "config", *arguments])

    return run


def stack(user_file: Path) -> LocalStack:
    return LocalStack(user_file.parent / "home", user_env_file=user_file)


@pytest.mark.parametrize(
    "written",
    [
        b"PHOENIX_RISK_PROFILE=balanced",
        b"phoenix_risk_profile=balanced",
        b"Phoenix_Risk_Profile = 'balanced' # mild",
        b'export PHOENIX_RISK_PROFILE="balanced"\r\n',
        b"\xef\xbb\xbfPHOENIX_RISK_PROFILE=balanced\n",
        b"PHOENIX_RISK_PROFILE=mission\nphoenix_risk_profile=balanced\n",
        b"[section]\n; a note\nPHOENIX_RISK_PROFILE=balanced\n",
    ],
)
def test_a_service_the_command_line_and_the_start_see_the_same_value(
    user_file: Path, config: Config, written: bytes
) -> None:
    user_file.write_bytes(written)
    assert shared_settings.load(RiskSettings).risk_profile.value == "balanced"
    shown = json.loads(config("show", "--json").stdout)["settings"][KEY]
    assert (shown["value"], shown["source"]) == ("balanced", str(user_file))
    assert stack(user_file).settings()[KEY] == "balanced"
    assert config("check").exit_code == 0


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (b"# mine\nPHOENIX_RISK_PROFILE: balanced\n", 2),
        (b"PHOENIX_MODE=paper\nset PHOENIX_RISK_PROFILE=balanced\n", 2),
        (b"PHOENIX_RISK_PROFILE='balanced\n", 1),
        ("PHOENIX_RISK_PROFILE=balanced\n".encode("utf-16"), 1),
        (b"PHOENIX_RISK_PROFILE=balanced\n# \xff\n", 2),
    ],
)
def test_what_cannot_be_read_is_refused_by_all_with_file_line_and_remedy(
    user_file: Path, config: Config, written: bytes, line: int
) -> None:
    user_file.write_bytes(written)
    place = f"{user_file}, line {line}: "
    with pytest.raises(OperatorNeeded) as refusal:
        shared_settings.load(RiskSettings)
    assert place in str(refusal.value)
    with pytest.raises(OperatorNeeded) as refusal:
        stack(user_file).settings()
    assert place in str(refusal.value)
    checked = config("check")
    assert checked.exit_code == 1
    assert place in checked.output
    assert place in config("show").output, "a value that is shown may not be what was meant"


def test_what_cannot_be_read_keeps_nobody_from_closing_and_stopping(user_file: Path) -> None:
    user_file.write_bytes(b"PHOENIX_RISK_PROFILE: balanced\n")
    found = find_installation(user_file.parent / "home")
    assert found.url("execute") == "http://127.0.0.1:9102"
    assert stack(user_file).stop() == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(user_file: Path, config: Config) -> None:
    user_file.chmod(0)
    assert "cannot be read (Permission denied)" in config("check").output


def test_a_directory_in_the_place_of_a_file_is_named(user_file: Path, config: Config) -> None:
    user_file.unlink()
    user_file.mkdir()
    assert f"{user_file}, line 1: this is a directory" in config("check").output


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PHOENIX_RISK_PROFLE=balanced", "Did you mean PHOENIX_RISK_PROFILE?"),
        ("risk_profile=balanced", "Did you mean PHOENIX_RISK_PROFILE?"),
        ("PHEONIX_RISK_PROFILE=balanced", "Did you mean PHOENIX_RISK_PROFILE?"),
        ("PHOENIX_SOMETHING_ELSE=1", "look it up in docs/CONFIGURATION.md"),
    ],
)
def test_a_name_that_nobody_reads_is_said_with_its_line_and_what_may_be_meant(
    user_file: Path, config: Config, line: str, said: str
) -> None:
    user_file.write_text(f"\n{line}\n")
    for arguments in (["check"], ["check", "--unread"]):
        output = config(*arguments).output
        assert f"{user_file}, line 2" in output
        assert said in output


def test_variables_of_others_are_not_ours_to_judge(user_file: Path, config: Config) -> None:
    user_file.write_text("COMPOSE_PROJECT_NAME=x\nHTTP_PROXY=y\nTZ=Asia/Seoul\n")
    assert config("check", "--unread").output == ""


def test_names_in_the_shell_are_read_whatever_their_case(
    user_file: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("phoenix_risk_profile", "balanced")
    shown = json.loads(config("show", "--json").stdout)["settings"][KEY]
    assert (shown["value"], shown["source"]) == ("balanced", "environment")
    assert shared_settings.load(RiskSettings).risk_profile.value == "balanced"
