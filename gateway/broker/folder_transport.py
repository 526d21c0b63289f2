"""A broker in a folder: files with messages, for one machine, without a server.

Kombu has such a transport, too. This one is atomic and faster: a message appears by a rename, so
no reader sees half of one, and does not pass through the machine's /tmp; each queue has its own
folder, listed once for many messages; messages that are sent together share a file, because file
systems take longer for a file than Python for a message; and the exchange is kept in memory, where
two processes that start together cannot overwrite it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

if sys.platform == "linux":
    from inotify_simple import INotify, flags

_POLL_SECONDS = 0.01
"""Where the system does not report new files."""
_MAX_WAIT_SECONDS = 0.2
"""How long `drain_events` waits at most, whatever it is asked for: a reader may be told to stop."""
_OWNER_ONLY = 0o700
_FILE_MESSAGES = 16
"""In a file, at most: one reader takes all of them."""
_HOLD_SECONDS = 0.2
"""How long a reader keeps those that it cannot deliver: then others may take them."""
_MORE = "more"
"""The key of the other messages in the first one of a file. A reader that does not know it, of an
earlier release, takes the first one only."""

Message = dict[str, Any]  # Any: kombu's own


class Channel(virtual.Channel):  # type: ignore[misc]  # kombu is not typed
    """Messages in files, whose names sort by the time of writing, and end with their number."""

    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # Any: kombu's own
        super().__init__(*arguments, **options)
        self._root = Path(self.connection.client.transport_options["folder"])
        self._listed: dict[str, deque[str]] = {}
        self._held: dict[str, _HeldMessages] = {}
        """By queue: what was taken and is not delivered yet."""
        self._looks_after_held = False

    def basic_consume(self, queue: str, *arguments: Any, **options: Any) -> Any:  # Any: the same
        """Take messages of a queue, and have the transport hear of new ones."""
        self.connection.watch(self._folder(queue))
        return super().basic_consume(queue, *arguments, **options)

    def create_publish_batch(self, max_size: int) -> _PublishBatch:
        """Return what collects messages for `Producer.batch`."""
        return _PublishBatch(self, min(max_size, _FILE_MESSAGES))

    def close(self) -> None:
        """Put back what was not delivered, and close."""
        try:
            for queue in tuple(self._held):
                self._put_back(queue)
        finally:
            super().close()

    def put(self, queue: str, messages: Iterable[Message]) -> None:
        """Write one file with messages, of which there is one at least."""
        now, number = time.time_ns(), next(self._numbers)
        self._write(queue, messages, f"{now:020d}-{os.getpid()}-{number}")

    def _new_queue(self, queue: str, **_: Any) -> None:
        folder = self._folder(queue)
        self._root.parent.mkdir(parents=True, exist_ok=True)
        self._root.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        folder.mkdir(mode=_OWNER_ONLY, exist_ok=True)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._folder(queue).is_dir()

    def _put(
        self, queue: str, message: Message, *, batch: _PublishBatch | None = None, **_: Any
    ) -> None:
        if batch is None:
            self.put(queue, [message])
        else:
            batch.add(queue, message)

    def _write(self, queue: str, messages: Iterable[Message], stem: str) -> None:
        folder = self._folder(queue)
        first, *others = messages
        if others:
            first = {**first, _MORE: others}
        name = f"{stem}-{1 + len(others)}"
        draft = folder / f".{name}"
        data = dumps(first).encode()
        try:
            draft.write_bytes(data)
        except FileNotFoundError:  # the state folder was emptied
            self._new_queue(queue)
            draft.write_bytes(data)
        draft.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> Message:  # noqa: ARG002 - kombu's signature
        held = self._held.get(queue)
        if held is not None and held.messages:
            return held.messages.popleft()
        folder = self._folder(queue)
        listed = self._listed.setdefault(queue, deque())
        if not listed:
            listed.extend(_list_files(folder))
        while listed:
            name = listed.popleft()
            if messages := _claim(folder / name):
                first, *others = messages
                if others:
                    self._hold(queue, name, others)
                return first
        raise Empty

    def _hold(self, queue: str, name: str, messages: Iterable[Message]) -> None:
        self._held[queue] = _HeldMessages(name, deque(messages), time.monotonic() + _HOLD_SECONDS)
        self._look_again()

    def _look_again(self) -> None:
        if not self._looks_after_held:
            self._looks_after_held = self.connection.call_later(
                _HOLD_SECONDS, self._look_after_held
            )

    def _look_after_held(self) -> None:
        """Put back what is held for too long: this reader may be busy for hours, others not."""
        self._looks_after_held = False
        try:
            for queue, held in tuple(self._held.items()):
                if not held.messages or held.until <= time.monotonic():
                    self._put_back(queue)
        finally:  # a disk that is full now has room later
            if self._held:
                self._look_again()

    def _put_back(self, queue: str) -> None:
        """Let others take what is not delivered, before all that was sent later.

        If that cannot be written, it is still held.
        """
        held = self._held[queue]
        if held.messages:
            self._write(queue, held.messages, held.name.rpartition("-")[0])
            self._listed.pop(queue, None)  # it is not in the list
        del self._held[queue]

    def _size(self, queue: str) -> int:
        return sum(map(_number_in, _names(self._folder(queue))))

    def _purge(self, queue: str) -> int:
        folder = self._folder(queue)
        return sum(len(_claim(folder / name)) for name in _list_files(folder))

    def _folder(self, queue: str) -> Path:
        if not queue or "/" in queue or queue.startswith("."):
            raise ChannelError(f"queue: expected a name that a folder can have, got {queue!r}")
        return self._root / queue


@dataclass(frozen=True, slots=True)
class _HeldMessages:
    """Messages of a file that a reader has taken."""

    name: str
    """Of the file."""
    messages: deque[Message]
    until: float
    """When they go back, in `monotonic` seconds."""


class _PublishBatch:
    """Messages that are sent together, as kombu's `Producer.batch` collects them."""

    def __init__(self, channel: Channel, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._messages: dict[str, list[Message]] = {}

    def publish(self, message: Message, **options: Any) -> None:  # Any: of `basic_publish`
        """Take a message."""
        self.channel.basic_publish(message, batch=self, **options)

    def add(self, queue: str, message: Message) -> None:
        """Take a message whose queue is known."""
        messages = self._messages.setdefault(queue, [])
        messages.append(message)
        if len(messages) == self._max_size:
            self.channel.put(queue, messages)
            messages.clear()

    def flush(self) -> None:
        """Send what was taken."""
        for queue, messages in self._messages.items():
            if messages:
                self.channel.put(queue, messages)
        self.discard()

    def discard(self) -> None:
        """Forget what was taken."""
        self._messages.clear()

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Transport(virtual.Transport):  # type: ignore[misc]  # the same
    """On kombu's event loop, it takes messages when the system reports new files in their folders.

    Without a loop, and where the system does not (Linux does, by inotify), it looks every 10 ms.
    """

    Channel = Channel
    driver_type = "folder"
    driver_name = "folder"
    default_port = 0
    implements = virtual.Transport.implements.extend(asynchronous=True)
    global_state = virtual.BrokerState()
    """Bindings of this process only: all names are known in advance."""

    def __init__(self, client: Any, **options: Any) -> None:  # Any: kombu's Connection
        super().__init__(client, **options)
        self.state = self.global_state
        self._news: INotify | None = None
        self._loop: Any = None  # Any: kombu's Hub

    def watch(self, folder: Path) -> None:
        """Hear of new messages in a folder, if there is an event loop."""
        if self._news is not None:
            with suppress(OSError):  # the system's limit is reached; the loop ticks once a second
                self._news.add_watch(folder, flags.MOVED_TO)

    def call_later(self, seconds: float, function: Callable[[], None]) -> bool:
        """Have the event loop call a function; return False if there is no loop."""
        if self._loop is not None:
            self._loop.call_later(seconds, function)
        return self._loop is not None

    def close_connection(self, connection: Any) -> None:  # Any: the same
        """Close everything."""
        super().close_connection(connection)
        if self._news is not None:
            self._news.close()
            self._news = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # Any: kombu's Hub
        """Deliver on kombu's event loop, instead of in `drain_events`."""
        del connection  # this transport has one connection
        self._loop = loop
        if sys.platform == "linux":
            with suppress(OSError):  # the system's limit is reached
                self._news = INotify(nonblocking=True)
        if self._news is None:
            loop.call_repeatedly(_POLL_SECONDS, _nothing)
        else:
            loop.add_reader(self._news.fileno(), _nothing)
        loop.on_tick.add(self._deliver_all)  # before the loop waits for anything

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # Any: the same
        """Deliver one message; raise TimeoutError if there is none."""
        del connection
        wait_seconds = _MAX_WAIT_SECONDS if timeout is None else min(timeout, _MAX_WAIT_SECONDS)
        until = time.monotonic() + wait_seconds
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                pass
            else:
                return
            if time.monotonic() >= until:
                raise TimeoutError
            time.sleep(_POLL_SECONDS)

    def _deliver_all(self) -> None:
        """Deliver messages while there are some that can be taken."""
        if self._news is not None:
            self._news.read(timeout=0)  # before the folders are listed: a later file is news again
        while True:
            try:
                self.cycle.get(self._deliver)
            except Empty:
                return

    def driver_version(self) -> str:
        """Return that there is no version."""
        return "N/A"


def _nothing() -> None:
    """Something for kombu's loop to call: it ticks then."""


def _list_files(folder: Path) -> Sequence[str]:
    """Return the names of files with messages, oldest first."""
    return sorted(_names(folder))


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - a hundred times a second
    except FileNotFoundError:
        return []


def _number_in(name: str) -> int:
    """Return how many messages a file has; one of an earlier release has one, and no number."""
    number = name.split("-")[3:]
    return int(number[0]) if number else 1


def _claim(file: Path) -> list[Message]:
    """Take messages: remove their file. Return none if another reader was first."""
    try:
        data = file.read_bytes()
        file.unlink()  # succeeds for one reader only
    except FileNotFoundError:
        return []
    first: Message = loads(data)
    return [first, *first.pop(_MORE, ())]
