"""A broker in a folder: one file per message, for one machine, without a server.

Kombu has such a transport, too. This one is atomic and faster: a message appears by a rename, so
no reader sees half of one, and does not pass through the machine's /tmp; each queue has its own
folder, listed once for many messages; and the exchange is kept in memory, where two
processes that start together cannot overwrite it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from contextlib import suppress
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


class Channel(virtual.Channel):  # type: ignore[misc]  # kombu is not typed
    """Messages in files, whose names sort by the time of writing."""

    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # Any: kombu's own
        super().__init__(*arguments, **options)
        self._root = Path(self.connection.client.transport_options["folder"])
        self._listed: dict[str, deque[str]] = {}

    def basic_consume(self, queue: str, *arguments: Any, **options: Any) -> Any:  # Any: the same
        """Take messages of a queue, and have the transport hear of new ones."""
        self.connection.watch(self._folder(queue))
        return super().basic_consume(queue, *arguments, **options)

    def _new_queue(self, queue: str, **_: Any) -> None:
        folder = self._folder(queue)
        self._root.parent.mkdir(parents=True, exist_ok=True)
        self._root.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        folder.mkdir(mode=_OWNER_ONLY, exist_ok=True)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return self._folder(queue).is_dir()

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        folder = self._folder(queue)
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._numbers)}"
        draft = folder / f".{name}"
        data = dumps(message).encode()
        try:
            draft.write_bytes(data)
        except FileNotFoundError:  # the state folder was emptied
            self._new_queue(queue)
            draft.write_bytes(data)
        draft.rename(folder / name)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:  # noqa: ARG002 - kombu's signature
        folder = self._folder(queue)
        listed = self._listed.setdefault(queue, deque())
        if not listed:
            listed.extend(_list_messages(folder))
        while listed:
            message = _claim(folder / listed.popleft())
            if message is not None:
                return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(_names(self._folder(queue)))

    def _purge(self, queue: str) -> int:
        folder = self._folder(queue)
        return sum(_claim(folder / name) is not None for name in _list_messages(folder))

    def _folder(self, queue: str) -> Path:
        if not queue or "/" in queue or queue.startswith("."):
            raise ChannelError(f"queue: expected a name that a folder can have, got {queue!r}")
        return self._root / queue


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

    def watch(self, folder: Path) -> None:
        """Hear of new messages in a folder, if there is an event loop."""
        if self._news is not None:
            with suppress(OSError):  # the system's limit is reached; the loop ticks once a second
                self._news.add_watch(folder, flags.MOVED_TO)

    def close_connection(self, connection: Any) -> None:  # Any: the same
        """Close everything."""
        super().close_connection(connection)
        if self._news is not None:
            self._news.close()
            self._news = None

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # Any: kombu's Hub
        """Deliver on kombu's event loop, instead of in `drain_events`."""
        del connection  # this transport has one connection
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


def _list_messages(folder: Path) -> list[str]:
    """Return the messages in a folder, oldest first."""
    return sorted(_names(folder))


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - a hundred times a second
    except FileNotFoundError:
        return []


def _claim(file: Path) -> dict[str, Any] | None:
    """Take a message: remove its file. Return None if another reader was first."""
    try:
        data = file.read_bytes()
        file.unlink()  # succeeds for one reader only
    except FileNotFoundError:
        return None
    message: dict[str, Any] = loads(data)
    return message
