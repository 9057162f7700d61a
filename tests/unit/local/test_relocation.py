"""A moved or copied home: its queues know their directory, and no two homes share a database."""

import os
import pwd
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure.local import layout as layouts
from infrastructure.local import relocation
from infrastructure.local.layout import Layout, find_layout
from infrastructure.local.plain_paths import HomeError
from infrastructure.local.plan import rabbitmq_environment
from infrastructure.local.ports import Ports
from infrastructure.local.relocation import settle

NODE = "phoenix95_8000@localhost"
QUEUE = f"""#{{system_config =>
      #{{data_dir =>
            "HOME/rabbitmq/mnesia/{NODE}/quorum/{NODE}",
        names => #{{directory => ra_directory}},
        wal_data_dir =>
            "HOME/rabbitmq/mnesia/{NODE}/quorum/{NODE}"}},
  friendly_name => "queue 'a/rabbitmq' in vhost '/trading'"}}."""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a place for databases outside of homes, with this process's user as PostgreSQL's."""
    me = pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(layouts, "POSTGRES_OUTSIDE", tmp_path / "outside")
    monkeypatch.setattr(relocation, "POSTGRES_OUTSIDE", tmp_path / "outside")
    monkeypatch.setattr(relocation, "postgres_user", lambda: me)
    return tmp_path / "outside"


def broker_home(home: Path, written_for: Path) -> Path:
    """Write a queue as RabbitMQ leaves it and return its configuration."""
    path = home / "rabbitmq" / "mnesia" / NODE / "quorum" / NODE / "TRADIN0" / "config"
    path.parent.mkdir(parents=True)
    path.write_text(QUEUE.replace("HOME", str(written_for)))
    return path


def database_home(home: Path, outside: Path) -> Layout:
    """Make a home whose database is outside, as the first start leaves it."""
    data = outside / "postgres-1"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15")
    home.mkdir()
    (home / "postgres.location").write_text(f"{data}\n")
    return settle(find_layout(home), lambda _path: False, list[str]().append)


def in_use(answer: bool) -> Callable[[Path], bool]:
    return lambda _path: answer


def test_queues_of_a_copied_home_are_told_their_directory_once(tmp_path: Path, said: list[str]) -> None:
    home = tmp_path / "copy"
    path = broker_home(home, tmp_path / "original")
    for _ in range(2):
        settle(Layout(home, home / "postgres"), in_use(False), said.append)
    assert path.read_text() == QUEUE.replace("HOME", str(home))
    assert len(said) == 1


def test_the_brokers_data_keeps_its_node_when_the_ports_change(tmp_path: Path) -> None:
    broker_home(tmp_path, tmp_path)
    (tmp_path / "rabbitmq" / "mnesia" / f"{NODE}-plugins-expand").mkdir()
    (tmp_path / "rabbitmq" / "mnesia" / f"{NODE}.pid").touch()
    environment = rabbitmq_environment(find_layout(tmp_path), Ports(9000))
    assert environment["RABBITMQ_NODENAME"] == NODE


def test_a_moved_home_keeps_its_database_outside(tmp_path: Path, outside: Path, said: list[str]) -> None:
    data = database_home(tmp_path / "home", outside).postgres
    (tmp_path / "home").rename(tmp_path / "moved")
    assert settle(find_layout(tmp_path / "moved"), in_use(False), said.append).postgres == data
    assert said == []


def test_a_copied_home_gets_a_copy_of_the_database_and_the_original_keeps_its_own(
    tmp_path: Path, outside: Path, said: list[str]
) -> None:
    data = database_home(tmp_path / "home", outside).postgres
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    copied = settle(find_layout(tmp_path / "copy"), in_use(False), said.append)
    assert copied.postgres != data
    assert (copied.postgres / "PG_VERSION").read_text() == "15"
    assert find_layout(tmp_path / "copy").postgres == copied.postgres
    assert find_layout(tmp_path / "home").postgres == data
    assert "its database was copied" in said[0]


def test_a_copy_of_a_home_whose_database_runs_is_refused_with_what_to_do(
    tmp_path: Path, outside: Path, said: list[str]
) -> None:
    database_home(tmp_path / "home", outside)
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    with pytest.raises(HomeError, match=r"is a copy of .*/home, .* stop that system first"):
        settle(find_layout(tmp_path / "copy"), in_use(True), said.append)


def test_modes_that_a_copy_lost_are_restored(tmp_path: Path, outside: Path, said: list[str]) -> None:
    cookie = tmp_path / "rabbitmq" / ".erlang.cookie"
    cookie.parent.mkdir()
    cookie.touch(mode=0o644)
    settle(Layout(tmp_path, tmp_path / "postgres"), in_use(False), said.append)
    assert stat.S_IMODE(cookie.stat().st_mode) == 0o400
