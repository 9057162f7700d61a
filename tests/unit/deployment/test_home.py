"""The home of the containers: made once, kept afterwards, handed over without following a link."""

import os
import stat
from pathlib import Path

import pytest

from infrastructure.containers.__main__ import main
from infrastructure.containers.home import OWNERS
from infrastructure.containers.preparation import HIGHLY_AVAILABLE, prepare
from infrastructure.local.settings_file import read_env_file


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """What was given to whom, instead of giving it: that takes a right tests need not have."""
    given: dict[Path, int] = {}

    def chown(path: Path, user: int, group: int, *, follow_symlinks: bool = True) -> None:
        assert user == group
        assert not follow_symlinks
        given[Path(path)] = user

    monkeypatch.setattr(os, "chown", chown)
    return given


def test_a_second_start_keeps_every_secret_and_every_file(tmp_path: Path, handed: dict[Path, int]) -> None:
    prepare(tmp_path, {}, highly_available=True)
    salted = {"definitions.json"}  # the hash of the same password, salted anew
    texts = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    prepare(tmp_path, {}, highly_available=True)
    assert {p: t for p, t in texts.items() if p.name not in salted and p.read_text() != t} == {}


def test_each_directory_and_all_in_it_is_handed_to_its_container(
    tmp_path: Path, handed: dict[Path, int]
) -> None:
    prepare(tmp_path, {}, highly_available=True)
    for path, user in handed.items():
        directory = path if path.parent == tmp_path else path.parent
        assert user == OWNERS[directory.name]
    files = {path for path in tmp_path.rglob("*") if path.is_file()} - {tmp_path / "phoenix.env"}
    assert files <= set(handed)
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [*files, tmp_path / "phoenix.env"])


def test_a_link_that_a_server_left_in_its_directory_leads_nowhere(
    tmp_path: Path, handed: dict[Path, int]
) -> None:
    """A Redis that is taken over must not be handed the file with all secrets at the next start."""
    prepare(tmp_path, {})
    for name in ("redis.conf", "loot"):
        (tmp_path / "redis" / name).unlink(missing_ok=True)
        (tmp_path / "redis" / name).symlink_to(tmp_path / "phoenix.env")
    secrets = (tmp_path / "phoenix.env").read_text()
    handed.clear()
    prepare(tmp_path, {})
    assert (tmp_path / "phoenix.env").read_text() == secrets
    assert not (tmp_path / "redis" / "redis.conf").is_symlink()
    assert tmp_path / "phoenix.env" not in handed
    assert tmp_path / "redis" / "loot" not in handed


def test_companions_are_prepared_only_when_they_are_asked_for(
    tmp_path: Path, handed: dict[Path, int]
) -> None:
    prepare(tmp_path, {})
    assert not {each.name for each in tmp_path.iterdir()} & HIGHLY_AVAILABLE
    prepare(tmp_path, {}, highly_available=True)
    assert {each.name for each in tmp_path.iterdir()} >= HIGHLY_AVAILABLE


def test_three_brokers_share_one_cookie_and_one_configuration(
    tmp_path: Path, handed: dict[Path, int]
) -> None:
    prepare(tmp_path, {}, highly_available=True)
    first = {path.name: path.read_text() for path in (tmp_path / "rabbitmq").iterdir()}
    assert first[".erlang.cookie"]
    for node in ("rabbitmq-2", "rabbitmq-3"):
        assert {path.name: path.read_text() for path in (tmp_path / node).iterdir()} == first


def test_one_setting_can_be_asked_for(
    tmp_path: Path, handed: dict[Path, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--home", str(tmp_path), "prepare"]) == 0
    capsys.readouterr()
    assert main(["--home", str(tmp_path), "get", "PHOENIX_WEBHOOK_SECRET"]) == 0
    secret = read_env_file(tmp_path / "phoenix.env")["PHOENIX_WEBHOOK_SECRET"]
    assert capsys.readouterr().out == f"{secret}\n"
    assert main(["--home", str(tmp_path), "get", "PHOENIX_WEBHOOK_SECRT"]) == 1
    assert "PHOENIX_WEBHOOK_SECRET" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["--home", str(tmp_path / "file"), "prepare"]) == 1
    assert "FAILED" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["file"]
