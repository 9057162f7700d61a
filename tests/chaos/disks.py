"""Disks of their own for single parts of a system, so that one can be full while the others are not.

A disk is a file system in memory, mounted over a directory before the system starts. Mounting needs root:
without it there are no such disks, and nothing is filled. It must never be given a directory that holds data.
"""

import os
import pwd
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from infrastructure.local.layout import POSTGRES_SYSTEM_USER, Layout

DISK_MIB = 1_500
"""Room for a run of ten minutes; memory is only used for what is written."""
FILLER = "filler"
FILL_TRIES_MAX = 20


@dataclass(frozen=True)
class Disk:
    """One disk, mounted at `path`."""

    path: Path

    def fill(self, left_bytes: int) -> None:
        """Write a file until only `left_bytes` are free."""
        with (self.path / FILLER).open("ab") as file:
            for _ in range(FILL_TRIES_MAX):
                status = os.statvfs(self.path)
                wanted = status.f_bavail * status.f_frsize - left_bytes
                if wanted <= 0:
                    return
                with suppress(OSError):  # somebody else has taken a part of it meanwhile
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), wanted)

    def free(self) -> None:
        """Take the filler away."""
        (self.path / FILLER).unlink(missing_ok=True)


def may_mount() -> bool:
    """Return True if this process may mount file systems here; some containers let not even root."""
    if os.getuid() != 0:
        return False
    probe = Path("/mnt")
    if _mount(probe, "size=64k") != 0:
        return False
    _unmount(probe)
    return True


@contextmanager
def disks(layout: Layout) -> Iterator[Mapping[str, Disk]]:
    """Give PostgreSQL, the broker, Redis and the logs a disk each; nothing where that is not allowed.

    Entered before the system starts, left after its processes have ended.
    """
    if not may_mount():
        yield {}
        return
    account = pwd.getpwnam(POSTGRES_SYSTEM_USER)
    owners = {
        "postgres": (layout.postgres, f"uid={account.pw_uid},gid={account.pw_gid}"),
        "rabbitmq": (layout.rabbitmq, "uid=0,gid=0"),
        "redis": (layout.redis, "uid=0,gid=0"),
        "logs": (layout.logs, "uid=0,gid=0"),
    }
    mounted: dict[str, Disk] = {}
    try:
        for name, (path, owner) in owners.items():
            path.mkdir(parents=True, exist_ok=True)
            if _mount(path, f"size={DISK_MIB}m,mode=0700,{owner}") == 0:
                mounted[name] = Disk(path)
        yield mounted
    finally:
        for disk in mounted.values():
            _unmount(disk.path)


def _mount(path: Path, options: str) -> int:
    return subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "phoenix95-test", str(path)],
        check=False,
        capture_output=True,
    ).returncode


def _unmount(path: Path) -> None:
    subprocess.run(["umount", "--lazy", str(path)], check=False, capture_output=True)
