"""`python -m infrastructure.local.supervisord`: supervisord, without its one way to die of a full disk.

Whatever goes wrong with its log it reports on stderr, and when that stands on the same disk the report
itself raises, out of supervisord's main loop. Here nothing that is written there can raise.
"""

import os
import sys
from contextlib import suppress

from supervisor.supervisord import main


class LossyStream:
    """Writes to a descriptor; what cannot be written is lost."""

    encoding = "utf-8"

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> int:
        """Write text as far as it goes."""
        with suppress(OSError):
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Say no."""
        return False


if __name__ == "__main__":
    sys.stdout = LossyStream(1)
    sys.stderr = LossyStream(2)
    main()
