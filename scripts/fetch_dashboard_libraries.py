#!/usr/bin/env python3
"""Fetches the dashboard's browser libraries from npm, exactly as released, into the folder that serves them.

    python scripts/fetch_dashboard_libraries.py            # what manifest.json names; refuses other content
    python scripts/fetch_dashboard_libraries.py --update   # after a version was changed there

The manifest says which files of which version are taken, and their SHA-512; a test holds the folder to it.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parent.parent / "services" / "notify" / "dashboard" / "static" / "vendor"
MANIFEST = VENDOR / "manifest.json"
FETCH_TIMEOUT_S = 120


class WrongContentError(Exception):
    """A file is not the one that was looked at when the manifest was written."""


def fetch(package: dict[str, Any], *, is_update: bool) -> None:
    """Write the named files of one package, as they are in its tarball; with `is_update` note their hashes.

    Raises:
        WrongContentError: npm gave another content than the manifest names; nothing of it was written.
    """
    contents = _unpacked(f"{package['name']}@{package['version']}", list(package["files"]))
    for name, content in contents.items():
        found = hashlib.sha512(content).hexdigest()
        if is_update:
            package["files"][name] = found
        elif package["files"][name] != found:
            raise WrongContentError(f"{package['name']}@{package['version']}: {name} has other content")
    folder = VENDOR / package["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / Path(name).name).write_bytes(content)


def _unpacked(what: str, names: list[str]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", what],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_S,
        )
        archive = Path(folder, packed.stdout.split()[-1]).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {name: _read(tar, f"package/{name}") for name in names}


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(name)
    assert member is not None, f"{name} is a file of the package"
    return member.read()


def main() -> int:
    """Fetch every package of the manifest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="note the hashes of what npm gives")
    arguments = parser.parse_args()
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    try:
        for package in manifest["packages"]:
            fetch(package, is_update=arguments.update)
            print(f"{package['name']} {package['version']}: {len(package['files'])} files")
    except (WrongContentError, subprocess.SubprocessError, OSError) as error:
        print(f"not fetched: {error}", file=sys.stderr)
        return 1
    if arguments.update:
        MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
