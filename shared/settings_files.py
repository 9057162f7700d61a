"""Reads settings files: the one road from a file to its values. It must never show a value."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from shared.errors import OperatorNeeded
from shared.settings_text import Fault, SettingsText, UnreadableText, decoded, parsed


@dataclass(frozen=True)
class FaultyLine:
    """What is wrong in which file."""

    path: Path
    fault: Fault

    def __str__(self) -> str:
        """Return it for a person: file, line, what is wrong, what to do."""
        return f"{self.path}, line {self.fault.line}: {self.fault.said}. {self.fault.do}"


def look(path: Path) -> SettingsText:
    """Return what a file says as far as it can be read, with its faults; nothing when there is none."""
    try:
        if not path.exists():
            return SettingsText()
        return parsed(decoded(path.read_bytes()))
    except UnreadableText as error:
        return SettingsText((), (error.fault,))
    except IsADirectoryError:
        remedy = "Remove it: Docker makes one for a file that is mounted and missing."
        return SettingsText((), (Fault(1, "this is a directory, not a file", remedy),))
    except OSError as error:
        remedy = "Make it readable for the user that Phoenix runs as (chmod, chown)."
        return SettingsText((), (Fault(1, f"the file cannot be read ({error.strerror})", remedy),))


def read(path: Path) -> dict[str, str]:
    """Return the values of a file, empty when there is none.

    Raises:
        OperatorNeeded: something in it cannot be read and may be a setting of ours; names file and line.
    """
    found = look(path)
    refuse_serious(FaultyLine(path, fault) for fault in found.faults)
    return found.values


def refuse_serious(faults: Iterable[FaultyLine]) -> None:
    """Raise OperatorNeeded for what may be a setting that nobody could read."""
    serious = [str(each) for each in faults if each.fault.is_serious]
    if serious:
        raise OperatorNeeded("settings cannot be read:\n" + "\n".join(f"  {line}" for line in serious))
