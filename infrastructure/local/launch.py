"""Becomes a program, run by supervisord: `launch.py --log F [--pid-file F] [--starts F] [--user U] COMMAND…`.

The program writes its log file itself and not through a pipe of supervisord's: with that full, or its reader
gone, who logs would wait or fail. Before, it ends what an earlier incarnation left behind (nginx's workers
would go on holding its ports), notes the process id, and holds a program back that ends again and again:
each start costs log, and of the exchange's patience. What is left is known by the process group of the noted
id within our own session. The kernel gives a number away again only when no group bears it any more, so a
living process of that number that began at another time means: nothing was left. A full disk keeps nothing
from starting. Runs isolated: it imports the standard library only.
"""

import argparse
import os
import pwd
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GONE_TIMEOUT_S = 5.0
POLL_S = 0.02
QUICK_S = 10.0
"""A program that lived for longer than this after its start did not fail in it."""
PAUSES_S = (0.0, 0.0, 1.0, 2.0, 4.0, 8.0)
"""Before each start that follows quick ends; the last one for all further. Room on a disk again, or a server
that is back, is used within it."""
STARTS_FORMAT = "{:6d} {:16.3f}\n"
PID_FORMAT = "{:<10d}\n"
BEGAN_FORMAT = "{:<10d} {:<20d}\n"
BEGAN_SUFFIX = ".began"
"""Beside a pid file, which holds the number alone for people: that again and when the process began."""

START_FIELD = 19
"""Place of the start, in ticks since the machine's, among the fields of /proc/<pid>/stat after the name."""


class PidNote(NamedTuple):
    """What a pid file says: a number and, where the launcher wrote it, when the process began."""

    pid: int
    began: int | None


def main() -> None:
    """Clear up, note the process id, become the program."""
    options = _options(sys.argv[1:])
    redirect(options.log)
    if options.lossy:
        copy_apart()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what stops the program stops us as well, quietly
    if options.pid_file is not None:
        end_group(former_group(options.pid_file))
        note(options.pid_file)
    if options.starts is not None:
        time.sleep(next_pause(options.starts, time.monotonic()))
    if options.user is not None:
        become(options.user)
    os.execv(options.command[0], options.command)  # noqa: S606 - the command comes from our own process table


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--pid-file", type=Path)
    parser.add_argument("--starts", type=Path)
    parser.add_argument("--user")
    parser.add_argument("--lossy", action="store_true", help="put a copier between the program and its log")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def redirect(log: Path) -> None:
    """Let stdout and stderr append to the log file, or go nowhere; nothing is read."""
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError:
        file = nothing
    for source, target in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, target)


def copy_apart() -> None:
    """Put a process of its own between our output and the log: it loses what cannot be written.

    For a program that a failing write would stop. It ends with the last writer.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:  # nobody's child: the program must not be told of its end
            os.close(writer)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                signal.signal(number, signal.SIG_IGN)
            while data := os.read(reader, 65_536):
                with suppress(OSError):
                    os.write(1, data)
        os._exit(0)
    os.wait()
    os.close(reader)
    for target in (1, 2):
        os.dup2(writer, target)


def next_pause(starts: Path, now: float) -> float:
    """Return how long to wait before this start, s, and note the start.

    `now` is the machine's time since boot, which all processes share and nobody sets.
    """
    count, last = _noted(starts)
    ended_quickly = 0.0 <= now - last < QUICK_S
    count = count + 1 if ended_quickly else 0
    pause_s = PAUSES_S[min(count, len(PAUSES_S) - 1)]
    overwrite(starts, STARTS_FORMAT.format(min(count, 999_999), now + pause_s))
    return pause_s


def overwrite(path: Path, text: str) -> None:
    """Write a text of fixed length in place: that works on a full disk too, once the file is there."""
    with suppress(OSError), os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        file.write(text)


def _noted(starts: Path) -> tuple[int, float]:
    try:
        count, last = starts.read_text(encoding="utf-8").split()
        return int(count), float(last)
    except (OSError, ValueError):
        return -1, float("-inf")


def become(user: str) -> None:
    """Give up our rights for those of another user."""
    account = pwd.getpwnam(user)
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def read_note(pid_file: Path) -> PidNote | None:
    """Return what a pid file says; None when there is none or it is not one."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8").partition("\n")[0])
    except (OSError, ValueError):
        return None
    try:
        of, began = map(int, pid_file.with_suffix(BEGAN_SUFFIX).read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        of, began = 0, 0
    return PidNote(pid, began if of == pid else None) if pid > 0 else None


def note(pid_file: Path) -> None:
    """Note this process."""
    overwrite(pid_file, PID_FORMAT.format(os.getpid()))
    began = BEGAN_FORMAT.format(os.getpid(), started_at(os.getpid()) or 0)
    overwrite(pid_file.with_suffix(BEGAN_SUFFIX), began)


def started_at(pid: int) -> int | None:
    """Return when a process began, in ticks since the machine's start; None when there is none."""
    try:
        return int(_fields(pid)[START_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def former_group(pid_file: Path) -> int | None:
    """Return the process group of the earlier incarnation, None when nothing of it can be left."""
    note = read_note(pid_file)
    if note is None or started_at(note.pid) not in {None, note.began}:
        return None
    return note.pid


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
        state, _parent, its_group, its_session = _fields(pid)[:4]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z" and int(its_group) == group and int(its_session) == session


def _fields(pid: int) -> list[str]:
    """Return the fields of a process's state after its name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


if __name__ == "__main__":
    main()
