"""The files that settings come from, and which wins: the installation's, then the user's, then this run's.

It reads and writes these files; what a key means is not its business.
"""

from collections.abc import Mapping
from pathlib import Path

from infrastructure.local.settings_file import write_private
from shared.settings_files import read
from shared.settings_text import assignment


class SettingsFiles:
    """The settings files of one home.

    Args:
        installation: phoenix.env.
        user: settings of the user, when the system has such a file.
        overrides: settings given for this run only.
    """

    def __init__(self, installation: Path, user: Path | None, overrides: Path) -> None:
        self._lasting = [path for path in (installation, user) if path is not None]
        self._overrides = overrides

    @property
    def all(self) -> list[Path]:
        """Every file, existing or not, later ones win: services skip what is missing, and need no restart for
        a file that comes or goes without changing a setting of theirs.
        """
        return [*self._lasting, self._overrides]

    def existing(self) -> list[Path]:
        """Return the files that exist, in the order in which later ones win."""
        return [path for path in self.all if path.exists()]

    def values(self, overrides: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return every setting; `overrides` are those of a run that has not written its file yet.

        Raises:
            OperatorNeeded: something in a file cannot be read.
        """
        found: dict[str, str] = {}
        for path in self._lasting:
            found |= read(path)
        return found | dict(read(self._overrides) if overrides is None else overrides)

    def write_overrides(self, overrides: Mapping[str, str]) -> None:
        """Replace the settings for this run; without any there is no file."""
        if overrides:
            text = "".join(f"{assignment(key, value)}\n" for key, value in sorted(overrides.items()))
            write_private(self._overrides, text)
        else:
            self._overrides.unlink(missing_ok=True)
