"""Which settings win, and how many instances a running system has."""

import fcntl
from pathlib import Path

import pytest

from infrastructure.local import stack as module
from infrastructure.local import start_lock
from infrastructure.local.layout import MissingServerError
from infrastructure.local.ports import SERVICES
from infrastructure.local.stack import LocalStack, coming
from infrastructure.local.supervision import ProcessInfo, SupervisorError, instances_in
from tests.unit.local.test_plan import table


def running(name: str) -> ProcessInfo:
    return ProcessInfo(name=name, state="RUNNING", pid=1, uptime_s=1, problem="")


def test_the_users_file_wins_over_the_installation_and_this_runs_settings_over_both(tmp_path: Path) -> None:
    home, user_file = tmp_path / "home", tmp_path / ".env"
    (home / "run").mkdir(parents=True)
    (home / "phoenix.env").write_text(
        "PHOENIX_A=installation\nPHOENIX_B=installation\nPHOENIX_C=installation\n"
    )
    user_file.write_text("PHOENIX_B=user\nPHOENIX_C=user\n")
    (home / "run" / "overrides.env").write_text("PHOENIX_C=run\n")
    stack = LocalStack(home, user_env_file=user_file)
    assert stack.settings() == {"PHOENIX_A": "installation", "PHOENIX_B": "user", "PHOENIX_C": "run"}


def test_a_users_file_that_does_not_exist_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "phoenix.env").write_text("PHOENIX_A=1\n")
    stack = LocalStack(tmp_path, user_env_file=tmp_path / "missing.env")
    assert stack.env_files() == [tmp_path / "phoenix.env"]


def test_the_port_base_of_the_installation_is_remembered(tmp_path: Path) -> None:
    (tmp_path / "phoenix.env").write_text("PHOENIX_PORT_BASE=9000\n")
    assert LocalStack(tmp_path).ports.base == 9000
    assert LocalStack(tmp_path, port_base=7000).ports.base == 7000
    assert LocalStack(tmp_path / "fresh").ports.base == 8000


def test_instances_are_counted_from_what_runs() -> None:
    assert instances_in({}) == 1
    names = ["redis", "brain-0", "brain-1", "risk-0", "risk-1"]
    assert instances_in({name: running(name) for name in names}) == 2


def test_stopping_and_asking_what_never_ran_is_harmless(tmp_path: Path) -> None:
    stack = LocalStack(tmp_path / "nothing")
    assert stack.stop() == []
    assert stack.status() == []


def test_an_instance_on_its_way_gets_no_request_while_another_of_its_service_is_there() -> None:
    instances = [program for program in table(2) if program.family in SERVICES]
    assert coming(instances, {"brain-1", "risk-0"}) == ["brain-1", "risk-0"]


def test_the_only_instance_is_never_taken_from_the_webhook_by_a_start() -> None:
    """It was killed, or everything but PostgreSQL was stopped: nginx asks whoever comes back at once."""
    for replicas in (1, 2):
        instances = [program for program in table(replicas) if program.family in SERVICES]
        brains = {program.name for program in instances if program.family == "brain"}
        assert coming(instances, brains) == []
        assert coming(instances, {program.name for program in instances}) == []


def test_a_start_or_stop_that_hangs_does_not_let_the_next_one_wait_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_lock, "QUIET_S", 0.0)
    monkeypatch.setattr(start_lock, "TIMEOUT_S", 0.2)
    (tmp_path / "run").mkdir()
    lines: list[str] = []
    with (tmp_path / "run" / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(SupervisorError, match="if it was suspended"):
            LocalStack(tmp_path, tell=lines.append).stop()
    assert len(lines) == 1


def test_a_stop_that_cannot_be_done_leaves_the_guardian_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingServerError("not installed: redis_server")

    ended: list[object] = []
    monkeypatch.setattr(module, "find_binaries", missing)
    monkeypatch.setattr(module, "end_guardian", lambda *_: ended.append(1))
    (tmp_path / "run").mkdir()
    with pytest.raises(MissingServerError):
        LocalStack(tmp_path).stop()
    assert not ended
