"""How a process learns that another process has committed: one interface, one class per database.

SQLite: every commit changes the date or size of the file's write-ahead log, which a watch compares,
and Linux reports that the log was written (inotify).
PostgreSQL: NOTIFY carries messages over a connection of its own. Signals only shorten waiting: one
can be lost, so every task that waits also queries the database at intervals.
"""

from __future__ import annotations

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

import asyncpg

from gateway.storage import postgresql
from gateway.storage.failures import log_failure
from telemetry.logs import logger

_CHANNEL = "slipstream"
_COMMITTED = "commit"
"""The message that says only that something was committed. Others are run ids, see `runs`."""
_MAX_PAYLOAD_BYTES = 7000
"""Of one NOTIFY: PostgreSQL takes less than 8000."""
_MAX_PENDING = 10_000
_RECONNECT_SECONDS = 0.25
_FLUSH_SECONDS = 2.0
_SETTLE_SECONDS = 0.05
"""From the first write to SQLite's log to the wake-up: others see a commit only after the writes,
and most often after a sync of the disk. Many commits are one wake-up."""
_CLOCK_TICK_NANOSECONDS = 20_000_000
"""File dates advance every few ms: a second write in the same tick does not change the stamp."""

if sys.platform == "linux":
    from inotify_simple import INotify, flags

log = logger("gateway.storage.commit_signal")

Listener = Callable[[str | None], None]
"""Called with a message, or with None if some may have been missed. Must not raise or block."""
Stamp = tuple[int, int]
"""Differs after a commit: (date in ns, size) of SQLite's log; (number of messages, 0)."""


class CommitSignal(ABC):
    """What one process publishes and hears about commits. For one event loop."""

    must_poll: bool
    """Whether `CommitWatch.changed` tells more, and sooner, than wake-ups do."""
    connected = False
    """Whether messages are published and received at the moment."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._watches: WeakSet[CommitWatch] = WeakSet()

    def watch(self) -> CommitWatch:
        """Return a watch for one waiting task."""
        watch = CommitWatch(self)
        self._watches.add(watch)
        return watch

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with each message of any process; subscribe before `start`."""
        self._listeners.append(listener)

    def committed(self) -> None:
        """Wake this process's watches: it has committed."""
        for watch in tuple(self._watches):
            watch.wake()

    @abstractmethod
    def publish(self, message: str) -> None:
        """Send `message`, which has no blanks, to every process; never blocks, never raises."""

    @abstractmethod
    def start(self) -> None:
        """Start to receive messages. A second call does nothing."""

    @abstractmethod
    async def stop(self) -> None:
        """Send pending messages, for `_FLUSH_SECONDS` at most, and disconnect."""

    @abstractmethod
    def stamp(self) -> Stamp | None:
        """Return a value that differs after a commit of any process; None if it is unknown."""

    def wakes(self) -> bool:
        """Whether commits of other processes wake the watches, within 0.1 s."""
        return not self.must_poll

    def differs(self, stamp: Stamp | None, last: Stamp | None) -> bool:
        """Whether any process may have committed since the stamp was `last`."""
        return stamp is not None and (stamp != last or self._is_fresh(stamp))

    def _is_fresh(self, stamp: Stamp) -> bool:  # noqa: ARG002 - for SQLite
        """Whether another commit may still have left the same stamp."""
        return False


class CommitWatch:
    """One task's wait for commits."""

    def __init__(self, signal: CommitSignal) -> None:
        self._signal = signal
        self._event = asyncio.Event()
        self._stamp = signal.stamp()

    def wake(self) -> None:
        """End the current `wait`, or the next one at once."""
        self._event.set()

    async def wait(self, seconds: float | None) -> bool:
        """Wait up to `seconds` for `wake`; return whether it was called."""
        # Not wait_for: before Python 3.12 that can swallow a cancellation.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        woken = self._event.is_set()
        self._event.clear()
        return woken

    def changed(self) -> bool:
        """Whether any process may have committed since the last call. On SQLite it takes 5 µs."""
        stamp, last = self._signal.stamp(), self._stamp
        self._stamp = stamp
        return self._signal.differs(stamp, last)

    def wake_if_changed(self, stamp: Stamp | None) -> None:
        """Call `wake` if `changed` would return True for the present `stamp`."""
        if self._signal.differs(stamp, self._stamp):
            self.wake()


class SqliteCommitSignal(CommitSignal):
    """Watches the write-ahead log. It carries no messages."""

    must_poll = True

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._wal = Path(f"{file}-wal")
        self._writes: INotify | None = None
        self._watched = False
        """Whether the log exists, and its writes are reported."""
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, message: str) -> None:
        """Do nothing: other processes see the commit itself."""

    def start(self) -> None:
        """Hear of writes to the log, where the system reports them."""
        if sys.platform == "linux" and self._writes is None:
            with suppress(OSError):  # the system's limit is reached: watches poll
                self._writes = INotify(nonblocking=True)
                self._listen(self._writes)

    async def stop(self) -> None:
        """Hear of nothing more."""
        writes, self._writes, self._watched = self._writes, None, False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if writes is not None:
            asyncio.get_running_loop().remove_reader(writes.fileno())
            writes.close()

    def wakes(self) -> bool:
        """Whether writes to the log are reported. It may have been created a moment ago."""
        if self._writes is not None and not self._watched:
            with suppress(OSError):  # there is none yet, or the system's limit is reached
                self._writes.add_watch(self._wal, flags.MODIFY)
                self._watched = True
        return self._watched

    def _listen(self, writes: INotify) -> None:
        asyncio.get_running_loop().add_reader(writes.fileno(), self._on_write, writes)

    def _on_write(self, writes: INotify) -> None:
        """Collect the writes of a moment: a busy database must not wake the loop for each."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(writes.fileno())
        self._timer = loop.call_later(_SETTLE_SECONDS, self._settled, writes)

    def _settled(self, writes: INotify) -> None:
        self._timer = None
        if any(event.mask & flags.IGNORED for event in writes.read(timeout=0)):
            self._watched = False  # the log was deleted, with the last connection
        self._listen(writes)
        stamp = self.stamp()
        for watch in tuple(self._watches):
            watch.wake_if_changed(stamp)

    def stamp(self) -> Stamp | None:
        """Return date and size of the write-ahead log; None if there is none."""
        try:
            found = self._wal.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def _is_fresh(self, stamp: Stamp) -> bool:
        """Whether the date is so recent that the next write may get the same one."""
        return time.time_ns() - stamp[0] < _CLOCK_TICK_NANOSECONDS


class PostgresCommitSignal(CommitSignal):
    """LISTEN and NOTIFY over one connection outside the pool.

    Messages are sent on their own, after the commit that they are about: PostgreSQL serialises
    commits that contain a NOTIFY.
    """

    must_poll = False

    # Any: what asyncpg.connect takes
    def __init__(self, connect_options: Callable[[], dict[str, Any]]) -> None:
        super().__init__()
        self._connect_options = connect_options
        self._pending: list[str] = []
        self._wakeup = asyncio.Event()
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._task: asyncio.Task[None] | None = None
        self._received = 0
        self._lost = False

    def stamp(self) -> Stamp:
        """Return how many commits were announced, and connections made."""
        return self._received, 0

    def committed(self) -> None:
        """Wake the watches of every process."""
        super().committed()
        self.publish(_COMMITTED)

    def publish(self, message: str) -> None:
        """Queue a message; dropped while the signal is stopped or too many are pending."""
        if self._task is not None and len(self._pending) < _MAX_PENDING:
            self._pending.append(message)
            self._flushed.clear()
            self._wakeup.set()

    def start(self) -> None:
        """Connect, and reconnect whenever the connection is lost."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected(), name="commit signal")

    async def stop(self) -> None:
        """Send pending messages, for `_FLUSH_SECONDS` at most, and disconnect."""
        task, self._task = self._task, None
        if task is None:
            return
        if self.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await self._flushed.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._run_connection()
            except Exception as error:  # noqa: BLE001 - see `log_failure`
                if not self._lost:
                    log_failure(log, "commit_signal_lost", error)
                self._lost = True
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _run_connection(self) -> None:
        connection = await postgresql.connect(**self._connect_options())
        closed = asyncio.Event()

        def on_close(_: asyncpg.Connection) -> None:
            closed.set()
            self._wakeup.set()

        try:
            connection.add_termination_listener(on_close)
            await connection.add_listener(_CHANNEL, self._on_notify)
            self._deliver(None)  # messages sent while disconnected are lost
            if self._lost:
                log.info("commit_signal_restored")
            self.connected, self._lost = True, False
            while not closed.is_set():
                await self._flush(connection)
                await self._wakeup.wait()
            raise ConnectionResetError("the database has closed the connection")
        finally:
            self.connected = False
            connection.terminate()

    async def _flush(self, connection: asyncpg.Connection[Any]) -> None:
        self._wakeup.clear()
        while self._pending:
            count = size = 0
            for message in self._pending:
                size += len(message) + 1
                if size > _MAX_PAYLOAD_BYTES:
                    break
                count += 1
            payload = " ".join(self._pending[:count])
            await connection.execute("SELECT pg_notify($1, $2)", _CHANNEL, payload)
            del self._pending[:count]
        self._flushed.set()

    def _on_notify(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for message in str(payload).split():
            self._deliver(message)

    def _deliver(self, message: str | None) -> None:
        if message in {None, _COMMITTED}:
            self._received += 1
            super().committed()
        if message != _COMMITTED:
            for listener in self._listeners:
                listener(message)


def commit_signal(file: Path | None, connect_options: Callable[[], dict[str, Any]]) -> CommitSignal:
    """Return the signal for SQLite's `file`, or for PostgreSQL if there is none."""
    return SqliteCommitSignal(file) if file else PostgresCommitSignal(connect_options)
