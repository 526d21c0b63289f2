"""What a test leaves to the next ones in its process: child processes, zombies and threads.

The tests of a file, or of the folder of a conftest.py, that imports `leaves_nothing_behind` fail if
they do.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures.thread import _threads_queues
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_PATIENCE_SECONDS = 5.0
"""What was told to end has ended by then; nothing waits where nothing is left."""
_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Leftovers:
    """The children and the threads of this process that would keep it from ending."""

    children: frozenset[str]
    threads: frozenset[threading.Thread]

    @classmethod
    def find(cls) -> Leftovers:
        """Return what there is now."""
        children: set[str] = set()
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):  # it has ended
                children.update((thread / "children").read_text().split())
        threads = {thread for thread in threading.enumerate() if not thread.daemon}
        threads -= set(_threads_queues)  # of executors: they end with the process
        return cls(frozenset(children), frozenset(threads))

    def left_now(self) -> list[str]:
        """Name what there is now and was not before; what is ending has a moment for it."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            now = Leftovers.find()
            children, threads = now.children - self.children, now.threads - self.threads
            if not (children or threads) or time.monotonic() > until:
                names = [f"thread '{thread.name}'" for thread in threads]
                return sorted([*map(_describe, children), *names])
            time.sleep(_POLL_SECONDS)


def _describe(pid: str) -> str:
    with suppress(OSError):
        folder = Path("/proc", pid)
        words = (folder / "cmdline").read_text().replace("\0", " ").strip()
        return f"process {pid}: {words or 'a zombie, ' + repr((folder / 'comm').read_text()[:-1])}"
    return f"process {pid}, which has ended"


@pytest.fixture(autouse=True)
def leaves_nothing_behind() -> Iterator[None]:
    """Fail a test that leaves processes or threads to the next ones; its own fixtures end theirs.

    What fixtures of modules, packages and sessions have started was there before.
    """
    before = Leftovers.find()
    yield
    left = before.left_now()
    assert not left, f"the test leaves {', '.join(left)}"
