"""Becomes a program after noting its process id: `launch.py PID_FILE COMMAND…`, run by supervisord.

Before that it ends what an earlier incarnation left behind: children of a killed program (nginx's workers)
would go on holding its ports. They are known by the process group of the noted id within supervisord's own
session, so a stranger that got a used number is safe. Runs isolated: it imports the standard library only.
"""

import os
import signal
import sys
import time
from pathlib import Path

GONE_TIMEOUT_S = 5.0
POLL_S = 0.02


def main() -> None:
    """Clear up, note the process id, become the program."""
    pid_file, command = Path(sys.argv[1]), sys.argv[2:]
    end_group(former_group(pid_file))
    pid_file.write_text(f"{os.getpid()}\n", encoding="utf-8")
    os.execv(command[0], command)  # noqa: S606 - the command comes from our own process table


def former_group(pid_file: Path) -> int | None:
    """Return the process group of the earlier incarnation, None when there was none."""
    try:
        return int(pid_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def end_group(group: int | None) -> None:
    """Kill every process of a group of our session and wait until they are gone."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while (members := group_members(group)) and time.monotonic() < deadline:
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(POLL_S)


def group_members(group: int | None) -> list[int]:
    """Return the process ids of a group in our session, without ourselves and without the dead."""
    if group is None or group == os.getpid():
        return []
    session = os.getsid(0)
    return [
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _belongs(pid, group, session)
    ]


def _belongs(pid: int, group: int, session: int) -> bool:
    """Read state, group and session of a process: the fields after its name, which is in parentheses."""
    try:
        state, _parent, its_group, its_session = (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:4]
        )
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and int(its_group) == group and int(its_session) == session


if __name__ == "__main__":
    main()
