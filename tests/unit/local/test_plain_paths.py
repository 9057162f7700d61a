"""Any path that Linux allows is used through a plain name, or refused at once by its own name."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.local import layout as layouts
from infrastructure.local import plain_paths
from infrastructure.local.layout import find_layout, make_layout
from infrastructure.local.plain_paths import HomeError, forget_name, is_plain

STRANGE = (
    "my home", "한글", "it's", 'a"b', "a%b", "a%(here)s", "a#b", "a #b", "a ;b", "a:b", "a$HOME", "a\\b",
    "a\nb", "a*?[b]", "{a,b}", "x" * 200, "!a", "(a)", "a&b", "~", "\udcff", "a\tb",
)  # fmt: skip
PLAIN_NAMES = ("-a", "a.", "...", "a=b", "a@b+c,d")


@pytest.fixture(autouse=True)
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give links a directory of this test, with a short name, whoever runs it."""
    links = Path("/tmp") / f"phoenix95-links-{os.getpid()}"
    monkeypatch.setattr(plain_paths, "_links", lambda: links)
    monkeypatch.setattr(layouts, "POSTGRES_OUTSIDE", tmp_path / "outside")
    yield links
    for link in links.glob("*"):
        link.unlink()
    if links.is_dir():
        links.rmdir()


@pytest.mark.parametrize("name", STRANGE)
def test_a_home_that_configurations_cannot_hold_gets_a_plain_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    layout = make_layout(home)
    assert is_plain(layout.home)
    assert layout.home.resolve() == home
    assert layout.redis.is_dir()
    assert find_layout(home) == layout, "found again by the same name"
    assert len(os.fsencode(layout.socket)) <= 90, "supervisord binds under a longer temporary name first"


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_plain_home_is_used_as_it_is(name: str) -> None:
    assert is_plain(Path("/srv") / name)


def test_a_home_that_does_not_exist_yet_has_its_own_name_and_a_deleted_one_leaves_no_link(
    tmp_path: Path, links: Path
) -> None:
    home = tmp_path / "my home"
    assert find_layout(home).home == home
    layout = make_layout(home)
    forget_name(layout.home)
    assert list(links.iterdir()) == []
    assert home.is_dir()


def test_two_homes_never_share_a_name_and_a_moved_one_gets_its_own(tmp_path: Path) -> None:
    first = make_layout(tmp_path / "my home").home
    (tmp_path / "my home").rename(tmp_path / "her home")
    second = make_layout(tmp_path / "her home").home
    third = make_layout(tmp_path / "my home").home
    assert len({first, second, third}) == 2, "the first name serves its path again"
    assert second.resolve() == tmp_path / "her home"
    assert third.resolve() == tmp_path / "my home"


def test_without_a_place_for_links_the_home_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_paths, "_links", lambda: None)
    with pytest.raises(HomeError, match=r"my home.*Choose one of at most 70 bytes"):
        make_layout(tmp_path / "my home")


@pytest.mark.parametrize("umask", [0o077, 0o000, 0o027])
def test_directories_have_their_modes_whatever_the_callers_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        layout = make_layout(tmp_path / "home")
    finally:
        os.umask(before)
    assert stat.S_IMODE(layout.home.stat().st_mode) == 0o711
    assert {stat.S_IMODE(path.stat().st_mode) for path in (layout.run, layout.redis, layout.nginx)} == {0o700}
    if layout.postgres.is_relative_to(tmp_path / "outside"):  # as root, where PostgreSQL's user cannot pass
        assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o755


def test_a_home_of_another_user_is_refused_by_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_layout(tmp_path / "home")
    monkeypatch.setattr("infrastructure.local.layout.os.getuid", lambda: 12345)
    with pytest.raises(HomeError, match=r"belongs to the user .*, this is 12345"):
        make_layout(tmp_path / "home")
