"""A broker in a folder: one file per message, for one machine, without a server.

Kombu has such a transport, too. This one is atomic and faster: a message appears by a rename, so
no reader sees half of one, and does not pass through the machine's /tmp; each queue has its own
folder, listed once for many messages; and the exchange is kept in memory, where two
processes that start together cannot overwrite it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import count
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.utils.json import dumps, loads

_POLL_SECONDS = 0.01
_HOT_POLL_SECONDS = 0.001
_HOT_SECONDS = 0.05
"""How long after a message to poll more often: a child may have become free."""
_MAX_WAIT_SECONDS = 0.2
"""Within this time a worker notices that it must stop."""
_OWNER_ONLY = 0o700


class QoS(virtual.QoS):  # type: ignore[misc]  # kombu is not typed
    """Takes messages only while the transport option `has_room`, a function, returns True."""

    def can_consume(self) -> bool:
        """Return whether a message can be taken."""
        has_room = self.channel.connection.client.transport_options.get("has_room")
        return bool(super().can_consume() and (has_room is None or has_room()))


class Channel(virtual.Channel):  # type: ignore[misc]  # the same
    """Messages in files, whose names sort by the time of writing."""

    QoS = QoS
    _numbers = count()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # Any: kombu's own
        super().__init__(*arguments, **options)
        self._root = Path(self.connection.client.transport_options["folder"])
        self._listed: dict[str, deque[str]] = {}

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
    """Polls for messages every 10 ms, and every millisecond just after one."""

    Channel = Channel
    driver_type = "folder"
    driver_name = "folder"
    default_port = 0
    global_state = virtual.BrokerState()
    """Bindings of this process only: all names are known in advance."""

    def __init__(self, client: Any, **options: Any) -> None:  # Any: kombu's Connection
        super().__init__(client, **options)
        self.state = self.global_state
        self._hot_until = 0.0

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # Any: kombu's
        """Deliver one message; raise TimeoutError if there is none."""
        del connection  # this transport has one connection
        begin = now = time.monotonic()
        wait_seconds = _MAX_WAIT_SECONDS if timeout is None else min(timeout, _MAX_WAIT_SECONDS)
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
            except Empty:
                pass
            else:
                self._hot_until = time.monotonic() + _HOT_SECONDS
                return
            if now - begin >= wait_seconds:
                raise TimeoutError
            time.sleep(_HOT_POLL_SECONDS if now < self._hot_until else _POLL_SECONDS)
            now = time.monotonic()

    def driver_version(self) -> str:
        """Return that there is no version."""
        return "N/A"


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
