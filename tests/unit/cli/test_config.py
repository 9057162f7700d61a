"""`config`: the services' own rules judge the settings, and no secret is ever shown."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infrastructure.local.ports import Ports
from infrastructure.local.settings_file import ensure_env_file
from scripts.phoenix_cli import installation
from scripts.phoenix_cli.app import app
from scripts.phoenix_cli.catalogue import settings

Config = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home as the first start leaves it, and a user's .env that does not exist yet."""
    monkeypatch.setattr(installation, "USER_FILE", tmp_path / ".env")
    (tmp_path / "home").mkdir()
    ensure_env_file(tmp_path / "home" / "phoenix.env", Ports(9000), {})
    return tmp_path / "home"


@pytest.fixture
def config(home: Path) -> Config:
    """Run `config …`; whatever it prints, no secret of the home is in it."""
    lines = (home / "phoenix.env").read_text(encoding="utf-8").splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    secrets = [values[each.key] for each in settings() if each.is_secret and values.get(each.key)]
    assert len(secrets) > 10

    def run(*arguments: str, **given: str) -> Result:
        text = "".join(f"{key}={value}\n" for key, value in given.items())
        user = home.parent / ".env"
        user.write_text(text, encoding="utf-8")
        user.chmod(0o600)
        result = CliRunner().invoke(app, ["--home", str(home), "config", *arguments])
        assert not [secret for secret in secrets if secret in result.output], "a secret was printed"
        return result

    return run


def test_settings_of_the_first_start_are_usable_and_the_five_positions_are_told(config: Config) -> None:
    result = config("check")
    assert result.exit_code == 0, result.output
    assert "5 positions on the same side lose 10 % of equity at their stops" in result.output
    assert "nothing is red" in result.output


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("PHOENIX_RATE_LIMIT_PER_MINUTE", "0", "PHOENIX_RATE_LIMIT_PER_MINUTE: Input should be greater"),
        ("PHOENIX_RISK_LIMITS", "abc", "PHOENIX_RISK_LIMITS cannot be read as JSON"),
        ("PHOENIX_RISK_LIMITS", '{"sizes": 1}', "there is no limit 'sizes'"),
        ("PHOENIX_MODE", "live", "mode live needs PHOENIX_LIVE_CONFIRMATION"),
        ("PHOENIX_TELEGRAM_CHAT_ID", "42", "are set both or not at all"),
        ("PHOENIX_EXCHANGE_BASE_URL", "https://fapi.binance.com", "mode paper is for a paper exchange"),
        ("PHOENIX_API_KEY", "short", "PHOENIX_API_KEY: Value should have at least 16"),
    ],
)
def test_what_a_service_would_refuse_is_red_and_names_the_setting(
    config: Config, key: str, value: str, said: str
) -> None:
    result = config("check", **{key: value})
    assert result.exit_code == 1
    assert said in result.output, result.output


def test_a_misspelt_setting_is_told_with_what_was_meant_and_without_its_value(config: Config) -> None:
    result = config("check", PHOENIX_TELEGRAM_BOT_TOKN="95:not-for-your-eyes")
    assert result.exit_code == 0
    assert "PHOENIX_TELEGRAM_BOT_TOKN" in result.output
    assert "Did you mean PHOENIX_TELEGRAM_BOT_TOKEN?" in result.output
    assert "not-for-your-eyes" not in result.output


def test_keys_of_the_paper_exchange_in_demo_are_told(config: Config) -> None:
    assert "fit the paper exchange only" in config("check", PHOENIX_MODE="demo").output
    own = config(
        "check", PHOENIX_MODE="demo", PHOENIX_EXCHANGE_API_KEY="k" * 8, PHOENIX_EXCHANGE_API_SECRET="s"
    )
    assert "demo, with keys of your own" in own.output
    assert "short or of few different characters: PHOENIX_EXCHANGE_API_KEY" in own.output


def test_settings_that_others_can_read_are_red(config: Config, home: Path) -> None:
    (home / "phoenix.env").chmod(0o644)
    result = config("check")
    assert result.exit_code == 1
    assert "chmod 600" in result.output


def test_no_settings_at_all_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "USER_FILE", tmp_path / ".env")
    result = CliRunner().invoke(app, ["--home", str(tmp_path), "config", "check", "--json"])
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert "./scripts/start.sh" in finding["do"]


def test_show_says_what_is_in_force_and_from_where(config: Config, home: Path) -> None:
    url = "postgresql://me:hidden-in-here@db:5432/phoenix"
    given = {"PHOENIX_FEED_FLUSH_MS": "70", "PHOENIX_POSTGRES_URL": url}
    told = json.loads(config("show", "--json", **given).stdout)["settings"]
    user = str(home.parent / ".env")
    assert told["PHOENIX_FEED_FLUSH_MS"] == {"value": "70", "source": user, "read_by": ["market feed"]}
    assert told["PHOENIX_POSTGRES_URL"]["value"] == "***", "a password in an address is one"
    assert told["PHOENIX_API_KEY"]["value"] == "***"
    assert told["PHOENIX_SCORE_MIN"] == {"value": "0.45", "source": "default", "read_by": ["BRAIN"]}
    changed = json.loads(config("show", "--changed", "--json", **given).stdout)["settings"]
    assert "PHOENIX_SCORE_MIN" not in changed
