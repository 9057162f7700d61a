"""The project's documents as data: headings as anchors, links, code blocks, commands."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import REPOSITORY, tracked

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]\n]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
COMMAND = re.compile(r"phoenix\.py((?: +[a-z][a-z-]*)+)")
"""What follows phoenix.py in a document: commands first, arguments afterwards."""


@dataclass(frozen=True)
class Document:
    """One Markdown file."""

    path: str
    text: str

    @property
    def prose(self) -> str:
        """The text without its code blocks."""
        return FENCE.sub("", self.text)

    @property
    def anchors(self) -> set[str]:
        """What a link to a heading of this page may name, as GitHub makes it."""
        found: dict[str, int] = {}
        for heading in HEADING.findall(self.prose):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
            anchor = re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-")
            found[anchor] = found.get(anchor, -1) + 1
            if found[anchor]:
                found[f"{anchor}-{found[anchor]}"] = 0
        return set(found)

    @property
    def links(self) -> list[str]:
        """The relative links, pictures too."""
        return [
            link
            for link in LINK.findall(self.prose) + IMAGE.findall(self.prose)
            if not re.match(r"[a-z]+:", link)
        ]

    def blocks(self, language: str) -> list[str]:
        """Return the code blocks of one language."""
        return [code for found, code in FENCE.findall(self.text) if found == language]

    @property
    def folder(self) -> Path:
        """Where relative links begin."""
        return (REPOSITORY / self.path).parent


def documents() -> list[Document]:
    """Return every Markdown file of the project."""
    return [Document(path, (REPOSITORY / path).read_text(encoding="utf-8")) for path in tracked(".md")]
