"""Where log lines go: one descriptor, written by a thread of its own. Taking a line never raises or waits.

P13: no log can hold up, undo or void a decision. A full disk, a pipe whose reader is gone or has stopped, a
disk that hangs, a line that cannot be encoded: the line is lost and counted, and the next one is tried as if
nothing had happened, so it heals by itself. It must never know what a line says.
"""

import atexit
import io
import logging
import os
import queue
import threading

LINES_WAITING_MAX = 2_000
"""More than that wait only for a reader that has stopped."""
LINE_BYTES_MAX = 32_768
BATCH_LINES_MAX = 200
CLOSE_TIMEOUT_S = 1.0
STDOUT, STDERR = 1, 2


class LogSink:
    """Writes lines to `fd`, in the order in which they were taken."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._lines: queue.SimpleQueue[bytes | threading.Event | None] = (
            queue.SimpleQueue()
        )  # re-entrant: __del__ may log
        self._lost = 0
        self._counted = 0
        self._is_torn = False
        self._closed = False
        self._writer: threading.Thread | None = None

    def take(self, line: str | bytes) -> None:
        """Take one line, without its end; it is written soon, or lost and counted."""
        try:
            raw = line if isinstance(line, bytes) else line.encode("utf-8", "backslashreplace")
            if self._closed or self._lines.qsize() >= LINES_WAITING_MAX:
                self._lost += 1
                return
            self._lines.put(_bounded(raw) + b"\n")
            if self._writer is None:
                self._begin()
        except Exception:  # noqa: BLE001 - whoever logs must not fail for it, out of memory or at the very end
            self._lost += 1

    def lose(self) -> None:
        """Count a line that could not even be formed."""
        self._lost += 1

    def newly_lost(self) -> int:
        """Return how many lines were lost since the last time this was asked."""
        lost, before = self._lost, self._counted
        self._counted = lost
        return lost - before

    def flush(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Wait until what was taken is written, for at most `timeout_s`."""
        written = threading.Event()
        self._lines.put(written)
        if self._writer is not None:
            written.wait(timeout_s)

    def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Write what waits, for at most `timeout_s`; what comes afterwards is lost."""
        if self._writer is not None and not self._closed:
            self._closed = True
            self._lines.put(None)
            self._writer.join(timeout_s)

    def _begin(self) -> None:
        self._writer = threading.Thread(target=self._write_for_ever, name="log", daemon=True)
        self._writer.start()
        atexit.register(self.close)

    def _write_for_ever(self) -> None:
        taken: bytes | threading.Event | None = b""
        while taken is not None:
            batch: list[bytes] = []
            taken = self._lines.get()
            while isinstance(taken, bytes):
                batch.append(taken)
                if len(batch) >= BATCH_LINES_MAX or self._lines.empty():
                    break
                taken = self._lines.get()
            self._write(batch)
            if isinstance(taken, threading.Event):
                taken.set()

    def _write(self, batch: list[bytes]) -> None:
        """Write a batch; after a line that was cut off the next one begins on a new line."""
        left = memoryview((b"\n" if self._is_torn else b"") + b"".join(batch))
        try:
            while left:
                left = left[os.write(self.fd, left) :]
            self._is_torn = False
        except OSError:
            self._is_torn = True
            self._lost += bytes(left).count(b"\n")


class SinkLogger:
    """What structlog hands its finished lines to."""

    def __init__(self, sink: LogSink) -> None:
        self.msg = sink.take

    def __getattr__(self, _level: str) -> object:
        """Take a line of any level."""
        return self.msg


class SinkHandler(logging.Handler):
    """Hands the records of the standard library's logging to a sink."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Format and hand on; a record that cannot be formatted is counted."""
        try:
            self._sink.take(self.format(record))
        except Exception:  # noqa: BLE001 - see LogSink.take
            self._sink.lose()


class SinkStream(io.TextIOBase):
    """Stands in for `sys.stdout` and `sys.stderr`: `print`, warnings and tracebacks cannot fail either."""

    encoding = "utf-8"

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink
        self._begun = ""

    def write(self, text: str) -> int:
        """Take text; each finished line goes to the sink."""
        *lines, self._begun = (self._begun + text)[-LINE_BYTES_MAX:].split("\n")
        for line in lines:
            self._sink.take(line)
        return len(text)

    def flush(self) -> None:
        """Hand on what has no end yet."""
        if self._begun:
            begun, self._begun = self._begun, ""
            self._sink.take(begun)

    def fileno(self) -> int:
        """Return the descriptor behind it all."""
        return self._sink.fd

    def writable(self) -> bool:
        """Say yes."""
        return True


def _bounded(line: bytes) -> bytes:
    return line if len(line) <= LINE_BYTES_MAX else line[:LINE_BYTES_MAX] + b" (cut off)"
