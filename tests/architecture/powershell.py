"""The PowerShell scripts as data: read by a real parser of the language, since no PowerShell runs here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from tests.architecture.source import REPOSITORY, tracked

LANGUAGE = Language(tree_sitter_powershell.language())
HELP = re.compile(r"<#(.*?)#>", re.DOTALL)


@dataclass(frozen=True)
class Script:
    """One file, parsed."""

    path: str
    text: str
    root: Node

    def nodes(self, *kinds: str) -> Iterator[Node]:
        """Yield the nodes of these kinds; all of them without any."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            if not kinds or node.type in kinds:
                yield node
            waiting.extend(node.children)

    def texts(self, *kinds: str) -> list[str]:
        """Return what stands at the nodes of these kinds."""
        return [(node.text or b"").decode() for node in self.nodes(*kinds)]

    @property
    def parameters(self) -> list[str]:
        """The names of the script's own parameters, those of its functions aside."""
        blocks = [node for node in self.root.children if node.type == "param_block"]
        found: list[str] = []
        for block in blocks:
            inner = Script(self.path, self.text, block)
            for node in inner.nodes("script_parameter"):
                name = next(each for each in node.children if each.type == "variable")
                found.append((name.text or b"").decode().removeprefix("$"))
        return found

    @property
    def help(self) -> str:
        """The comment-based help."""
        found = HELP.search(self.text)
        return found[1] if found else ""


def scripts(*suffixes: str) -> list[Script]:
    """Return the project's PowerShell files."""
    found = []
    for path in tracked(*(suffixes or (".ps1", ".psm1"))):
        data = (REPOSITORY / path).read_bytes()
        found.append(Script(path, data.decode(), Parser(LANGUAGE).parse(data).root_node))
    return found
