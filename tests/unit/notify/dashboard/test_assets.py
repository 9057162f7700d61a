"""What the pages load: the libraries as released, nothing else, under addresses that name their content."""

import hashlib
import json
import re

import pytest

from services.notify.dashboard.assets import FOLDER, FOR_EVER, PREFIX, Assets
from services.notify.dashboard.rendering import FOLDER as TEMPLATES

VENDOR = FOLDER / "vendor"
VENDOR_BYTES_MAX = 1_500_000
MANIFEST = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
OWN_SCRIPTS = list(FOLDER.glob("*.js"))


@pytest.mark.parametrize("package", MANIFEST["packages"], ids=lambda package: package["name"])
def test_a_library_is_the_one_that_was_released(package: dict[str, object]) -> None:
    folder = VENDOR / str(package["folder"])
    files = package["files"]
    assert isinstance(files, dict)
    for name, sha512 in files.items():
        found = (folder / name.rsplit("/", 1)[-1]).read_bytes()
        assert hashlib.sha512(found).hexdigest() == sha512, f"{package['name']}: {name} was changed"


def test_nothing_lies_beside_the_libraries_and_they_are_small() -> None:
    named = {
        f"{package['folder']}/{name.rsplit('/', 1)[-1]}"
        for package in MANIFEST["packages"]
        for name in package["files"]
    } | {"manifest.json", "tabler/LICENSE"}
    found = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}

    assert found == named
    assert sum((VENDOR / name).stat().st_size for name in found) < VENDOR_BYTES_MAX


def test_every_library_has_its_licence_beside_it() -> None:
    for package in MANIFEST["packages"]:
        assert (VENDOR / package["folder"] / "LICENSE").read_text(encoding="utf-8").strip()


def test_no_template_has_a_script_or_a_style_of_its_own() -> None:
    forbidden = re.compile(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:|\|\s*safe\b")
    for path in TEMPLATES.rglob("*.html"):
        assert not (found := forbidden.search(path.read_text(encoding="utf-8"))), f"{path.name}: {found}"


@pytest.mark.parametrize("path", OWN_SCRIPTS, ids=lambda path: path.name)
def test_own_scripts_never_run_text(path: object) -> None:
    text = (FOLDER / str(path)).read_text(encoding="utf-8")

    assert not re.search(r"\beval\b|new Function|document\.write|insertAdjacentHTML|outerHTML", text)


def test_an_asset_is_kept_for_ever_under_its_own_digest_only() -> None:
    assets = Assets()
    address = assets.url("dashboard.js").removeprefix(f"{PREFIX}/")
    digest, _, name = address.partition("/")

    kept = assets.response(digest, name)
    passing = assets.response("of-another-version", name)

    assert kept is not None
    assert passing is not None
    assert kept.headers["cache-control"] == FOR_EVER
    assert passing.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("name", ["../opening.py", "..%2fopening.py", "/etc/passwd", "vendor/manifest.json"])
def test_nothing_outside_is_served(name: str) -> None:
    assert Assets().response("any", name) is None
