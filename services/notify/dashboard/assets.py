"""The files that a page loads, under addresses that name their content: kept for ever, never stale.

It serves the files of one folder and must never read outside of it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import Response
from starlette.responses import FileResponse

FOLDER = Path(__file__).parent / "static"
PREFIX = "/dashboard/static"
DIGEST_CHARS = 12
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file."""

    path: Path
    digest: str


class Assets:
    """Every file of the folder, with its digest, as it was at start."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): Asset(path, _digest(path))
            for path in sorted(folder.rglob("*"))
            if path.suffix in MEDIA_TYPES
        }

    def url(self, name: str) -> str:
        """Return the address of a file; an unknown one is a `KeyError`."""
        return f"{PREFIX}/{self._files[name].digest}/{name}"

    def response(self, digest: str, name: str) -> Response | None:
        """Return the file, None when there is none of that name.

        Asked for under another digest (by a page that another version of us rendered) it is not to be kept.
        """
        asset = self._files.get(name)
        if asset is None:
            return None
        headers = {
            "Cache-Control": FOR_EVER if digest == asset.digest else "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        return FileResponse(asset.path, media_type=MEDIA_TYPES[asset.path.suffix], headers=headers)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:DIGEST_CHARS]
