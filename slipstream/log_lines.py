"""Reads the log of this host: the last lines that match, and those that follow."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from gateway.ids import own_request_id
from slipstream.log_files import all_files

_BLOCK_BYTES = 256 * 1024
_POLL_SECONDS = 0.25
_DISORDER = timedelta(seconds=10)
"""Lines of several processes are at most so far from the order of their times."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line, as it is in the file and as its fields. Any: JSON."""

    raw: bytes
    """Without its end."""
    fields: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: bytes) -> LogLine | None:
        """Return the line; None for what is none, as the end of a line on a disk that was full."""
        try:
            fields = json.loads(raw)
        except ValueError:
            return None
        return cls(raw, fields) if isinstance(fields, dict) else None

    @property
    def at(self) -> datetime | None:
        """When it was written."""
        with suppress(TypeError, ValueError):
            at = datetime.fromisoformat(self.fields.get("timestamp", ""))
            return at if at.tzinfo else None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFilter:
    """Which lines are wanted: those to which everything that is set applies."""

    model: str | None = None
    deployments: Collection[str] = ()
    """Ids, or their beginnings, of which a line has one."""
    request_id: str | None = None
    """Also of lines that have only its run, if the gateway made it."""
    run_id: str | None = None
    """The id of a run, or its beginning."""
    level: str | None = None
    """This one, and those above."""
    process: str | None = None
    since: datetime | None = None

    def match(self, raw: bytes) -> LogLine | None:
        """Return the line, or None if it is not wanted. Most are refused before they are parsed."""
        if not all(any(word in raw for word in words) for words in self._words()):
            return None
        line = LogLine.parse(raw)
        return line if line is not None and self._wants(line) else None

    def begins_after(self, raw: bytes) -> bool:
        """Whether all lines before this one are older than what is wanted."""
        if self.since is None:
            return False
        line = LogLine.parse(raw)
        at = line.at if line else None
        return at is not None and at < self.since - _DISORDER

    def _words(self) -> Iterator[Sequence[bytes]]:
        """Yield what a line must contain: one word of each."""
        if self.model is not None:
            yield [_in_json(self.model)]
        if self.deployments:
            yield [_in_json(each) for each in self.deployments]
        if self.request_id is not None:
            yield [_in_json(word) for word in (self.request_id, self._own_run) if word]
        if self.run_id is not None:
            yield [_in_json(self.run_id)]
        if self.process is not None:
            yield [_in_json(self.process)]

    @property
    def _own_run(self) -> str | None:
        """The run of a request whose id the gateway has made of it."""
        prefix = own_request_id("")
        given = self.request_id or ""
        return given.removeprefix(prefix) if given.startswith(prefix) else None

    def _wants(self, line: LogLine) -> bool:
        fields = line.fields
        run_id = str(fields.get("run_id"))
        at = line.at
        return (
            self.model in (None, fields.get("model"))
            and self.process in (None, fields.get("process"))
            and (
                not self.deployments
                or str(fields.get("deployment")).startswith(tuple(self.deployments))
            )
            and (self.request_id in (None, fields.get("request_id")) or run_id == self._own_run)
            and (self.run_id is None or run_id.startswith(self.run_id))
            and (self.level is None or _number(fields.get("level")) >= _number(self.level))
            and (self.since is None or at is None or at >= self.since)
        )


class LogReader:
    """Reads the files of a log, whose newest one is appended to and moved away meanwhile."""

    def __init__(self, newest: Path, wanted: LineFilter) -> None:
        """Read the lines of `newest`, and of the files before it, that are `wanted`."""
        self._newest = newest
        self._wanted = wanted
        self._file: BinaryIO | None = None
        """What `follow` reads, at the first byte that has not been read."""

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            self._file.close()

    def last(self, count: int) -> list[LogLine]:
        """Return the last `count` lines, oldest first. Reads from the end, as far as needed."""
        found: list[LogLine] = []
        for raw in self._backwards():
            if len(found) == count or self._wanted.begins_after(raw):
                break
            if line := self._wanted.match(raw):
                found.append(line)
        return found[::-1]

    def follow(self) -> Iterator[LogLine | None]:
        """Yield lines as they are appended, after those of `last`; None: there is none just now.

        Without `last`, or if there was no file then, it begins with the oldest line.
        """
        rest = b""
        moved = False
        while True:
            chunk = self._read()
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, map(self._wanted.match, lines))
            if chunk:
                continue
            if moved and (newer := self._open_newer()):  # all of the old one has been read
                self.close()
                self._file, moved, rest = newer, False, b""
                continue
            moved = self._is_moved()
            yield None
            time.sleep(_POLL_SECONDS)

    def _backwards(self) -> Iterator[bytes]:
        """Yield all lines, newest first."""
        seen: set[tuple[int, int]] = set()
        for path in all_files(self._newest):
            with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
                if _identity(file) in seen:
                    continue  # it was moved since it was read
                seen.add(_identity(file))
                end = _end_of_lines(file)
                if self._file is None:
                    self._file = _opened_again(file, end)
                yield from _lines_before(file, end)

    def _read(self) -> bytes:
        """Return what follows in the file, up to a block."""
        file = self._file
        if file is None:
            return b""
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)  # it was emptied
        return file.read(_BLOCK_BYTES)

    def _is_moved(self) -> bool:
        """Whether the file is another one than the newest."""
        return self._file is None or _identity_at(self._newest) != _identity(self._file)

    def _open_newer(self) -> BinaryIO | None:
        """Open the file that followed this one: the oldest after none, the newest if it is gone."""
        newer = all_files(self._newest)
        if self._file is not None:
            found = [_identity_at(path) for path in newer]
            own = _identity(self._file)
            newer = newer[: found.index(own)] if own in found else newer[:1]
        for path in reversed(newer):
            with suppress(FileNotFoundError):
                return path.open("rb", buffering=0)
        return None


def _lines_before(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the lines of a file up to `end`, last first."""
    rest = b""
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        block = os.pread(file.fileno(), end - begin, begin)
        rest, *lines = (block + rest).split(b"\n")
        yield from filter(None, reversed(lines))
        end = begin
    if rest:
        yield rest


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends: another one may just be written."""
    end = os.fstat(file.fileno()).st_size
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        found = os.pread(file.fileno(), end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _opened_again(file: BinaryIO, position: int) -> BinaryIO:
    """Return the file, to be read from a position on; it may have another name by now."""
    again = os.fdopen(os.dup(file.fileno()), "rb", buffering=0)
    again.seek(position)  # both have this position, and `pread` needs none
    return again


def _identity(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino


def _identity_at(path: Path) -> tuple[int, int] | None:
    with suppress(FileNotFoundError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _in_json(text: str) -> bytes:
    """Return how a text, or its beginning, is written in a line."""
    return json.dumps(text)[1:-1].encode()


def _number(level: object) -> int:
    """Return a level as a number; 0 for what is none."""
    return logging.getLevelNamesMapping().get(str(level).upper(), 0)
