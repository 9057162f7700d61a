"""A process is ours by what it is: a pid file is believed by neither its number nor its date."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infrastructure.local import leftovers
from infrastructure.local.launch import BEGAN_SUFFIX, former_group, note, started_at
from infrastructure.local.layout import SUPERVISED_MARK, Layout
from infrastructure.local.leftovers import forget_dead, live_process, stop_leftovers
from infrastructure.local.plan import Program
from infrastructure.local.ports import Ports

PORTS = Ports(61_000)
SLEEP = (sys.executable, "-c", "import time; print('.', flush=True); time.sleep(60)")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "home", tmp_path / "home" / "postgres")
    for path in (layout.run, layout.redis, layout.postgres):
        path.mkdir(parents=True)
    return layout


@pytest.fixture
def pid_file(layout: Layout) -> Path:
    return layout.pid_file_of("redis")


class Processes:
    """Processes of this test, ended after it."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []

    def start(self, directory: str | Path = "/", **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            SLEEP,
            cwd=directory,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._all.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def end(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.fixture
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.end()


def redis(layout: Layout) -> Program:
    return Program(
        name="redis", family="redis", command=("/usr/bin/redis-server",), ports=(PORTS.of("redis"),),
        ready=(), directory=layout.redis, stop_timeout_s=5.0,
    )  # fmt: skip


def postgres(layout: Layout) -> Program:
    return Program(
        name="postgres", family="postgres", command=("/usr/bin/postgres",), ports=(PORTS.of("postgres"),),
        ready=(), directory=layout.postgres, writes_own_pid_file=True,
    )  # fmt: skip


def stop(layout: Layout, program: Program, session: int | None = None) -> list[str]:
    return stop_leftovers(layout, [program], PORTS, session)


def write_note(pid_file: Path, pid: int, began: int | None) -> None:
    pid_file.write_text(f"{pid}\n")
    pid_file.with_suffix(BEGAN_SUFFIX).write_text(f"{pid} {began}\n")


def in_the_future(path: Path) -> None:
    later = time.time() + 9 * 3600
    os.utime(path, (later, later))


@pytest.mark.parametrize("moved_clock", [False, True])
def test_a_stranger_whose_number_a_pid_file_holds_is_left_alone(
    layout: Layout, pid_file: Path, processes: Processes, moved_clock: bool
) -> None:
    stranger = processes.start(PHOENIX_HOME=str(layout.home))  # people export that
    pid_file.write_text(f"{stranger.pid}\n")
    if moved_clock:
        in_the_future(pid_file)
    assert stop(layout, redis(layout), session=stranger.pid) == []
    assert stranger.poll() is None


def test_a_stranger_in_a_directory_of_ours_is_left_alone(
    layout: Layout, pid_file: Path, processes: Processes
) -> None:
    stranger = processes.start(layout.redis)
    pid_file.write_text(str(stranger.pid))
    assert stop(layout, redis(layout)) == []
    assert stranger.poll() is None


def test_a_process_of_another_home_is_left_alone_when_this_one_is_its_copy(
    layout: Layout, pid_file: Path, processes: Processes
) -> None:
    other = processes.start("/", **{SUPERVISED_MARK: str(layout.home.parent / "original")})
    pid_file.write_text(str(other.pid))
    assert stop(layout, redis(layout), session=other.pid) == []
    assert other.poll() is None


def test_a_marked_process_is_ended_whatever_name_of_the_home_it_was_started_under(
    layout: Layout, pid_file: Path, processes: Processes
) -> None:
    link = layout.home.parent / "link"
    link.symlink_to(layout.home)
    ours = processes.start("/", **{SUPERVISED_MARK: str(link)})
    write_note(pid_file, ours.pid, started_at(ours.pid))
    in_the_future(pid_file)
    assert stop(layout, redis(layout)) == ["redis"]
    assert not psutil.pid_exists(ours.pid)


def test_a_marked_process_without_a_pid_file_is_found_by_the_session(
    layout: Layout, processes: Processes
) -> None:
    ours = processes.start("/", **{SUPERVISED_MARK: str(layout.home)})
    assert stop(layout, redis(layout), session=os.getsid(ours.pid)) == [f"process {ours.pid}"]


def test_a_server_that_overwrote_its_environment_is_known_by_its_program_and_directory(
    layout: Layout, pid_file: Path, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "OVERWRITING", {Path(sys.executable).resolve().name})
    elsewhere, ours = processes.start("/"), processes.start(layout.redis)
    pid_file.write_text(str(elsewhere.pid))
    assert stop(layout, redis(layout)) == []
    pid_file.write_text(str(ours.pid))
    assert stop(layout, redis(layout)) == ["redis"]
    assert elsewhere.poll() is None


def test_what_began_at_another_time_than_the_file_says_is_a_stranger(pid_file: Path) -> None:
    began = started_at(os.getpid())
    assert began is not None
    write_note(pid_file, os.getpid(), began)
    assert live_process(pid_file) is not None
    write_note(pid_file, os.getpid(), began - 1)
    assert live_process(pid_file) is None


def test_when_a_process_began_counts_for_the_number_it_was_written_with_only(pid_file: Path) -> None:
    write_note(pid_file, 999999999, 1)
    pid_file.write_text(str(os.getpid()))  # the launcher was killed between the two files
    assert live_process(pid_file) is not None


def test_a_pid_file_holds_nothing_but_the_number(pid_file: Path) -> None:
    """`kill $(cat redis.pid)` must not signal anybody else."""
    note(pid_file)
    assert pid_file.read_text().split() == [str(os.getpid())]
    assert live_process(pid_file) is not None


@pytest.mark.parametrize("content", ["", "\n", "no number\n", "999999999\n", "-7\n", "0\n", "1 2 3\n"])
def test_a_file_without_a_living_process_gives_nothing(pid_file: Path, content: str) -> None:
    pid_file.write_text(content)
    assert live_process(pid_file) is None


def test_no_file_gives_nothing(pid_file: Path) -> None:
    assert live_process(pid_file) is None


def test_the_launcher_ends_no_group_whose_number_another_program_bears_now(pid_file: Path) -> None:
    write_note(pid_file, os.getpid(), 1)
    assert former_group(pid_file) is None
    write_note(pid_file, 999999999, 1)
    assert former_group(pid_file) == 999999999


def test_pid_files_of_strangers_are_removed_before_a_start_postgresqls_too(
    layout: Layout, pid_file: Path, processes: Processes
) -> None:
    stranger = processes.start()
    postmaster = layout.pid_file_of("postgres")
    for path in (pid_file, postmaster):
        path.write_text(f"{stranger.pid}\nmore lines, as PostgreSQL writes\n")
        in_the_future(path)
    forget_dead(layout, [redis(layout), postgres(layout)])
    assert not pid_file.exists()
    assert not postmaster.exists()


def test_postgresqls_pid_file_stays_while_anything_works_in_its_data(
    layout: Layout, processes: Processes
) -> None:
    processes.start(layout.postgres)
    postmaster = layout.pid_file_of("postgres")
    postmaster.write_text("999999999\n")
    forget_dead(layout, [postgres(layout)])
    assert postmaster.exists()
