"""Makes a home that was moved or copied its own again, before its servers start.

Three things remember where they were: the broker's queues name their directory, PostgreSQL's data may lie
outside of the home, and a copy made by another program loses modes and owners. It changes files of servers
that do not run; what it cannot make right it refuses by name. It must never let two homes share a database.
"""

import os
import pwd
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from infrastructure.local.layout import (
    POSTGRES_NOTE,
    POSTGRES_OUTSIDE,
    Layout,
    new_outside_directory,
    postgres_user,
)
from infrastructure.local.plain_paths import HomeError
from infrastructure.local.settings_file import write_private

OWNER_SUFFIX = ".home"
"""Beside a directory outside: a file that holds which home it belongs to."""

QUEUE_CONFIGURATIONS = ("quorum/*/*/config", "coordination/*/*/config")
"""Below the broker's node: one Erlang term of each quorum queue, with the directories it was made in."""

_DIRECTORY = re.compile(r'"[^"\n]*(/rabbitmq/mnesia/[^"\n]*)"')


def settle(layout: Layout, is_in_use: Callable[[Path], bool], tell: Callable[[str], None]) -> Layout:
    """Return the layout with PostgreSQL's data where it belongs; the broker's queues know their directory.

    Args:
        layout: the home; nothing of it runs.
        is_in_use: whether any process works in a directory.
        tell: takes what a person should know.

    Raises:
        HomeError: the database belongs to another home that is running.
    """
    if (queues := _move_queues(layout)) > 0:
        tell(f"  · this home was moved or copied: {queues} queues of the broker were told their directory")
    if layout.postgres.parent == POSTGRES_OUTSIDE:
        layout = _own_database(layout, is_in_use, tell)
    _restore_owner(layout)
    return layout


def _move_queues(layout: Layout) -> int:
    """Write today's directory into the configuration of every queue; return how many had another one."""
    home = str(layout.home)
    moved = 0
    for pattern in QUEUE_CONFIGURATIONS:
        for path in layout.rabbitmq.glob(f"mnesia/*/{pattern}"):
            text = path.read_text(encoding="utf-8")
            wanted = _DIRECTORY.sub(lambda found: f'"{home}{found[1]}"', text)
            if wanted != text:
                write_private(path, wanted)
                moved += 1
    return moved


def _own_database(layout: Layout, is_in_use: Callable[[Path], bool], tell: Callable[[str], None]) -> Layout:
    """Keep data outside if it is ours; copy it if this home is a copy of the one that it belongs to."""
    data, home = layout.postgres, os.path.realpath(layout.home)
    note = owner_note(data)
    owner = note.read_text(encoding="utf-8") if note.is_file() else home
    if owner != home and _uses(Path(owner), data):
        if is_in_use(data):
            raise HomeError(
                f"{home} is a copy of {owner}, whose database is in {data} and in use: stop that system first"
                f" (PHOENIX_HOME='{owner}' ./scripts/stop.sh), then start this one; it gets a copy of its own"
            )
        layout = _copied(layout)
        tell(f"  · this home is a copy of {owner}: its database was copied from {data} to {layout.postgres}")
        note = owner_note(layout.postgres)
    if not note.is_file() or note.read_text(encoding="utf-8") != home:
        write_private(note, home)
    return layout


def owner_note(data: Path) -> Path:
    """Return where it is written which home a database outside of it belongs to."""
    return data.with_name(data.name + OWNER_SUFFIX)


def _uses(home: Path, data: Path) -> bool:
    """Tell whether a home still names this directory as its database."""
    note = home / POSTGRES_NOTE
    return note.is_file() and note.read_text(encoding="utf-8").strip() == str(data)


def _copied(layout: Layout) -> Layout:
    """Give this home a database of its own; killed on the way, the next start copies anew."""
    outside = new_outside_directory(pwd.getpwnam(postgres_user() or ""))
    shutil.copytree(layout.postgres, outside, symlinks=True, dirs_exist_ok=True)
    write_private(layout.home / POSTGRES_NOTE, f"{outside}\n")
    return Layout(layout.home, outside, layout.broker_node)


def _restore_owner(layout: Layout) -> None:
    """Give PostgreSQL's data back to its user and the broker's cookie its mode, if a copy lost them."""
    cookie = layout.rabbitmq / ".erlang.cookie"
    if cookie.exists():
        cookie.chmod(0o400)
    user = postgres_user()
    if user is None or not layout.postgres.is_dir():
        return
    account = pwd.getpwnam(user)
    if layout.postgres.stat().st_uid == account.pw_uid and _first_file_is_of(layout.postgres, account):
        return
    for directory, names, files in os.walk(layout.postgres):
        for name in (".", *names, *files):
            os.chown(Path(directory) / name, account.pw_uid, account.pw_gid, follow_symlinks=False)
    layout.postgres.chmod(0o700)


def _first_file_is_of(data: Path, account: pwd.struct_passwd) -> bool:
    version = data / "PG_VERSION"
    return not version.exists() or version.stat().st_uid == account.pw_uid
