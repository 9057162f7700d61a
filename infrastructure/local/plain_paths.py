"""A plain name for any home: Linux allows more in a path than the servers' configurations can hold.

supervisord, PostgreSQL, RabbitMQ, Redis, nginx and Prometheus each have quoting rules of their own, shell
scripts among them split at spaces, and a Unix socket's path ends at 107 bytes. So a home whose path is not
plain is used through a symbolic link with a plain, short name. It knows names and links; what lies in a home
is not its business. Links are made where nothing tidies up: not below /tmp.
"""

import hashlib
import os
import pwd
import re
from pathlib import Path

PLAIN = re.compile(r"[A-Za-z0-9_./@+=,-]+")
PLAIN_BYTES_MAX = 70
"""`run/supervisor.sock` below it, under supervisord's longer temporary name, fits the kernel's 107 bytes."""

LINKS_OF_ROOT = Path("/var/lib/phoenix95/homes")
LINKS_OF_USER = ".local/state/phoenix95/homes"


class HomeError(Exception):
    """A home cannot be used; the message names it and says what to do."""


def is_plain(path: Path) -> bool:
    """Tell whether every configuration takes the path as it is."""
    return len(os.fsencode(path)) <= PLAIN_BYTES_MAX and PLAIN.fullmatch(str(path)) is not None


def resolved_name(home: Path) -> Path:
    """Return the name under which a home is used: itself, or its link when there is one."""
    if is_plain(home):
        return home
    directory = _links()
    link = None if directory is None else _link(directory, home)
    return link if link is not None and _leads_to(link, home) else home


def plain_name(home: Path) -> Path:
    """Return a plain name of an existing home; make the link when it needs one.

    Raises:
        HomeError: there is no place for a link; the message says what to do.
    """
    if is_plain(home):
        return home
    directory = _links()
    if directory is None or not is_plain(_link(directory, home)):
        raise HomeError(_refusal(home, "and your own directory is no place for a link to it"))
    link = _link(directory, home)
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.getuid() == 0:
            for each in (
                directory.parent,
                directory,
            ):  # PostgreSQL's user passes here, whatever the umask was
                each.chmod(0o755)
        if not _leads_to(link, home):
            link.unlink(missing_ok=True)
            link.symlink_to(os.path.realpath(home))
    except OSError as error:
        raise HomeError(_refusal(home, f"and no link to it could be made ({error})")) from None
    return link


def forget_name(home: Path) -> None:
    """Remove the link of a home that is about to be deleted."""
    directory = _links()
    if directory is not None and home.parent == directory and home.is_symlink():
        home.unlink()


def _links() -> Path | None:
    """Return where this user's links are, None when the user has no directory."""
    if os.getuid() == 0:
        return LINKS_OF_ROOT
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir) / LINKS_OF_USER  # $HOME may be unset, or another's
    except KeyError:
        return None


def _link(directory: Path, home: Path) -> Path:
    return directory / hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:12]


def _leads_to(link: Path, home: Path) -> bool:
    return link.is_symlink() and os.path.realpath(link) == os.path.realpath(home)


def _refusal(home: Path, trouble: str) -> str:
    return (
        f"PHOENIX_HOME {str(home)!r}: the servers' configurations cannot hold this path, {trouble}."
        f" Choose one of at most {PLAIN_BYTES_MAX} bytes with letters, digits and _ . - + = , @ only"
    )
