"""Keeps the account on disk: a snapshot, and a journal of the commands carried out since.

Knows files. Must never interpret a command: recovery hands the records back in order. A record is on its
way to the operating system before the command is answered, so it survives `kill -9`; `fsync` makes it
survive a power cut too.

Generation g is `snapshot-g.json` plus `journal-g.jsonl`. A new generation starts with its snapshot written
whole under another name and renamed, so one complete generation always exists.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from infrastructure.paper_exchange.account import AccountState
from infrastructure.paper_exchange.commands import Command

JOURNAL_BYTES_MAX = 4 * 1024 * 1024
_SNAPSHOT_PREFIX, _JOURNAL_PREFIX = "snapshot-", "journal-"


class Record(msgspec.Struct, frozen=True):
    """One command and the time at which it was carried out."""

    now_ms: int
    command: Command


class Journal:
    """The files of one exchange in one directory."""

    def __init__(self, directory: Path, *, fsync: bool = False) -> None:
        self._directory = directory
        self._fsync = fsync
        self._encoder = msgspec.json.Encoder()
        self._file = -1
        self._bytes = 0
        self._generation = 0

    def recover(self) -> tuple[AccountState, Iterator[Record]] | None:
        """The newest snapshot and the records after it, or None when the directory holds no exchange."""
        self._directory.mkdir(parents=True, exist_ok=True)
        generations = sorted(_generations(self._directory))
        if not generations:
            return None
        self._generation = generations[-1]
        state = msgspec.json.decode(self._snapshot_path().read_bytes(), type=AccountState)
        return state, self._records()

    def append(self, record: Record) -> None:
        """Write a record; raises OSError when the disk refuses."""
        line = self._encoder.encode(record) + b"\n"
        if os.write(self._file, line) != len(line):
            raise OSError("the disk took only a part of a record")
        if self._fsync:
            os.fsync(self._file)
        self._bytes += len(line)

    @property
    def is_full(self) -> bool:
        """Whether it is time for a new snapshot."""
        return self._bytes >= JOURNAL_BYTES_MAX

    def rotate(self, state: AccountState) -> None:
        """Start a new generation from this state and forget the older ones."""
        self.close()
        self._generation += 1
        _write_whole(self._snapshot_path(), self._encoder.encode(state), fsync=self._fsync)
        self._file = os.open(
            self._journal_path(), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._bytes = 0
        self._forget_older()

    def close(self) -> None:
        """Let go of the journal file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _records(self) -> Iterator[Record]:
        path = self._journal_path()
        if not path.exists():
            return
        decoder = msgspec.json.Decoder(Record)
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield decoder.decode(line)

    def _forget_older(self) -> None:
        for path in self._directory.iterdir():
            generation = _generation_of(path)
            if generation is not None and generation < self._generation:
                path.unlink()

    def _snapshot_path(self) -> Path:
        return self._directory / f"{_SNAPSHOT_PREFIX}{self._generation:08d}.json"

    def _journal_path(self) -> Path:
        return self._directory / f"{_JOURNAL_PREFIX}{self._generation:08d}.jsonl"


def _write_whole(path: Path, content: bytes, *, fsync: bool) -> None:
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        if fsync:
            os.fsync(file.fileno())
    unfinished.replace(path)


def _generations(directory: Path) -> Iterator[int]:
    for path in directory.glob(f"{_SNAPSHOT_PREFIX}*.json"):
        generation = _generation_of(path)
        if generation is not None:
            yield generation


def _generation_of(path: Path) -> int | None:
    for prefix in (_SNAPSHOT_PREFIX, _JOURNAL_PREFIX):
        digits = path.stem.removeprefix(prefix)
        if path.name.startswith(prefix) and digits.isdigit():
            return int(digits)
    return None
