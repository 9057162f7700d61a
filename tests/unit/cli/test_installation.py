"""Where a setting comes from: the command line must see what the services see, no more and no less."""

from pathlib import Path

import pytest

from scripts.phoenix_cli import installation
from scripts.phoenix_cli.installation import ENVIRONMENT, find_installation
from shared.settings import env_files

KEY = "PHOENIX_BRAIN_URL"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home, and a user's .env beside it."""
    monkeypatch.setattr(installation, "USER_FILE", tmp_path / ".env")
    (tmp_path / "home" / "run").mkdir(parents=True)
    _write(tmp_path / "home" / "phoenix.env", "http://first")
    return tmp_path / "home"


def _write(path: Path, value: str) -> None:
    path.write_text(f"{KEY}={value}\n", encoding="utf-8")


def test_later_files_win_as_they_do_for_a_service_and_the_shell_over_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = home.parent / ".env"
    assert find_installation(home).url("brain") == "http://first"
    _write(user, "http://mine")
    assert find_installation(home).url("brain") == "http://mine", "the user's .env is read"
    _write(home / "run" / "overrides.env", "http://this-run")
    found = find_installation(home)
    assert found.url("brain") == "http://this-run"
    assert found.env_files == (home / "phoenix.env", user, home / "run" / "overrides.env")
    monkeypatch.setenv(KEY, "http://shell")
    found = find_installation(home)
    assert (found.url("brain"), found.sources[KEY]) == ("http://shell", ENVIRONMENT)


def test_an_empty_line_takes_a_setting_away(home: Path) -> None:
    _write(home.parent / ".env", "")
    assert find_installation(home).text(KEY) is None


def test_files_named_for_the_services_are_read_unless_a_home_is_given(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a container the settings stand where PHOENIX_ENV_FILE says."""
    named = tmp_path / "secrets.env"
    _write(named, "http://container")
    monkeypatch.setenv("PHOENIX_ENV_FILE", f"{named}:{tmp_path / 'missing.env'}")
    assert find_installation(None).url("brain") == "http://container"
    assert find_installation(home).url("brain") == "http://first"


def test_services_settings_classes_read_the_same_files_for_a_while_only(home: Path) -> None:
    found = find_installation(home)
    with found.read_by_services():
        assert env_files() == (str(home / "phoenix.env"),)
    assert env_files() == ()
