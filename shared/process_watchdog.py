"""Ends a process that does not live: a start or stop without an end, an event loop that stands.

Its supervisor then starts it again, which is the only recovery there is. It runs in a thread of its own and
needs nothing of the event loop. It counts its own looks instead of reading a clock: a process that was
frozen with its machine is not ended for having slept. It must never end a process that a debugger holds.
"""

import asyncio
import faulthandler
import os
import threading
from contextlib import suppress
from pathlib import Path

from shared import logs
from shared.log_sink import STDERR

LOOK_INTERVAL_S = 1.0
LOOP_BLOCKED_S_MAX = 15.0
"""Longer than anything that may rightly keep the event loop from its timers on a loaded machine."""
INTERPRETER_STUCK_S = 60.0
"""The same for the whole interpreter: code that never lets another thread run. Measured by the C library."""
DUMP_TIMEOUT_S = 2.0
EXIT_STUCK = 70
"""sysexits EX_SOFTWARE."""

_log = logs.get(__name__)


class ProcessWatchdog:
    """One per process; `begin` a phase that must end, `done` when it has."""

    def __init__(self, look_interval_s: float = LOOK_INTERVAL_S) -> None:
        self._look_interval_s = look_interval_s
        self._phase: tuple[str, float] | None = None
        self._left_s = 0.0
        self._turns = 0
        self._watches_loop = False
        self._missed_s = 0.0

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._look_for_ever, name="watchdog", daemon=True).start()

    def watch_loop(self) -> None:
        """Take the running event loop's turns as a sign of life, from now on."""
        self._watches_loop = True
        self._turn(asyncio.get_running_loop())

    def begin(self, phase: str, seconds: float) -> None:
        """End the process unless `done` is called within `seconds`; a phase that is under way is replaced."""
        self._left_s = seconds
        self._phase = (phase, seconds)

    def done(self) -> None:
        """Say that the phase came to its end."""
        self._phase = None

    def loop_ended(self) -> None:
        """Say that no turns of the event loop are to be expected any more."""
        self._watches_loop = False

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns += 1
        loop.call_later(self._look_interval_s / 2, self._turn, loop)

    def _look_for_ever(self) -> None:
        pause = threading.Event()
        seen = -1
        while True:
            faulthandler.dump_traceback_later(INTERPRETER_STUCK_S, exit=True, file=STDERR)
            pause.wait(self._look_interval_s)
            if _is_traced():
                continue
            stands = self._watches_loop and self._turns == seen
            self._missed_s = self._missed_s + self._look_interval_s if stands else 0.0
            seen = self._turns
            if self._missed_s >= LOOP_BLOCKED_S_MAX:
                _end(f"the event loop has stood for {LOOP_BLOCKED_S_MAX:.0f} s")
            if (phase := self._phase) is not None:
                self._left_s -= self._look_interval_s
                if self._left_s < 0:
                    _end(f"{phase[0]} took longer than {phase[1]:.0f} s")


def _end(why: str) -> None:
    """Say why with the stacks of all threads, as far as somebody reads it, and end at once."""
    _log.critical("process_stuck", why=why, exit_code=EXIT_STUCK)
    telling = threading.Thread(target=_dump, daemon=True)
    telling.start()
    telling.join(DUMP_TIMEOUT_S)
    os._exit(EXIT_STUCK)


def _dump() -> None:
    logs.flush()
    with suppress(OSError, ValueError):
        faulthandler.dump_traceback(file=STDERR, all_threads=True)


def _is_traced() -> bool:
    """Tell whether a debugger holds this process; where the kernel does not say, it does not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return False
    return "TracerPid:\t0\n" not in status and "TracerPid:" in status
