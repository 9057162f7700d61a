"""What an earlier start left half done is done again, and nothing that a server ran on is touched."""

from pathlib import Path

import pytest

from infrastructure.local import preparation
from infrastructure.local.layout import Binaries, Layout


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    def initdb(layout: Layout, *_: object) -> None:
        assert not list(layout.postgres.iterdir()), "initdb refuses a directory that is not empty"
        (layout.postgres / "PG_VERSION").write_text("new")

    monkeypatch.setattr(preparation, "postgres_user", lambda: None)
    monkeypatch.setattr(preparation, "_initdb", initdb)
    return Layout(tmp_path, tmp_path / "postgres")


def prepare(layout: Layout) -> str:
    where = Path("/usr/bin")
    binaries = Binaries(
        epmd=where, rabbitmq_server=where, redis_server=where, postgres_bin=where, nginx=where
    )
    preparation.prepare_postgres(layout, binaries, "password")
    assert not (layout.home / ".postgres.password").exists()
    return (layout.postgres / "PG_VERSION").read_text()


def half_done(layout: Layout) -> None:
    (layout.postgres / "base").mkdir(parents=True)
    (layout.postgres / "PG_VERSION").write_text("old")
    (layout.home / ".postgres.password").write_text("password")


def test_database_whose_making_was_killed_is_made_anew(layout: Layout) -> None:
    half_done(layout)
    assert prepare(layout) == "new"


def test_database_that_a_server_ran_on_is_never_made_anew(layout: Layout) -> None:
    half_done(layout)
    (layout.postgres / "postmaster.opts").touch()
    assert prepare(layout) == "old"
    assert (layout.postgres / "base").exists()


def test_whole_database_stays(layout: Layout) -> None:
    half_done(layout)
    (layout.home / ".postgres.password").unlink()
    assert prepare(layout) == "old"
