"""What a check found, and how findings are told: a colour, what is so, and what to do about it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from rich.console import Group, RenderableType
from rich.markup import escape


class Colour(StrEnum):
    """How a finding is meant; only red makes a check fail."""

    GREEN = "green"
    YELLOW = "yellow"
    """Works, and is worth a thought."""
    RED = "red"
    """Does not work, or is not safe."""
    GREY = "grey"
    """Could not be looked at, or does not apply."""


SIGNS = {Colour.GREEN: "✓", Colour.YELLOW: "!", Colour.RED: "✗", Colour.GREY: "·"}
STYLES = {Colour.GREEN: "green", Colour.YELLOW: "yellow", Colour.RED: "bold red", Colour.GREY: "dim"}
SUBJECT_WIDTH = 22


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at: what it is, what is so, and what to do (empty when nothing)."""

    subject: str
    colour: Colour
    said: str
    do: str = ""


def green(subject: str, said: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(subject=subject, colour=Colour.GREEN, said=said)


def yellow(subject: str, said: str, do: str) -> Finding:
    """Return a finding that is worth a thought."""
    return Finding(subject=subject, colour=Colour.YELLOW, said=said, do=do)


def red(subject: str, said: str, do: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(subject=subject, colour=Colour.RED, said=said, do=do)


def grey(subject: str, said: str) -> Finding:
    """Return that something could not be looked at, or does not apply here."""
    return Finding(subject=subject, colour=Colour.GREY, said=said)


def is_well(findings: Iterable[Finding]) -> bool:
    """Tell whether nothing is red."""
    return all(finding.colour is not Colour.RED for finding in findings)


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """Return the findings as one JSON document."""
    counts = {colour.value: sum(each.colour is colour for each in findings) for colour in Colour}
    return {"ok": is_well(findings), "counts": counts, "findings": [asdict(each) for each in findings]}


def as_page(findings: Sequence[Finding]) -> RenderableType:
    """Return the findings as lines for a person, each advice below what it is about."""
    lines: list[str] = []
    for each in findings:
        style = STYLES[each.colour]
        sign, subject = SIGNS[each.colour], each.subject.ljust(SUBJECT_WIDTH)
        lines.append(f"[{style}]{sign}[/] {escape(subject)} {escape(each.said)}")
        if each.do:
            lines.append(f"  {'':{SUBJECT_WIDTH}} [{style}]→[/] {escape(each.do)}")
    reds = sum(each.colour is Colour.RED for each in findings)
    lines += ["", "[bold red]" + f"{reds} red[/]" if reds else "[green]nothing is red[/]"]
    return Group(*lines)
