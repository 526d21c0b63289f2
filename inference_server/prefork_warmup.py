"""What every server does first, done once ahead of all forks, so that they share its memory.

Modules that are imported late, ONNX Runtime's tables of operators, and code that has run: they are
the larger half of what a server would otherwise take for itself.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - imported by the first look-up of a host
import os
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter

from inference_server import settings
from inference_server.runtime.session import OnnxSession
from inference_server.runtime.warmup import warm_up
from inference_server.server import OnnxServer

_IDENTITY = b64decode(
    "CAgSADpBChAKAXgSAXkiCElkZW50aXR5EgFnWhQKAXgSDwoNCAESCQoDEgFOCgIIAWIUCgF5Eg8KDQgBEgkKAxIBTgoC"
    "CAFCBAoAEA0="
)
"""A model: `y` FP32 [N, 1] is `x`."""


def prefork_warmup() -> None:
    """Make a server and a session, run that, and drop both. Starts no thread and no event loop."""
    with _file(_IDENTITY) as path:
        words = ["--store", "/", "--model", "rehearsal", "--version", "1", "--socket", str(path)]
        # What is wrong with the settings is each server's own to say.
        with suppress(SystemExit):
            OnnxServer(settings.read(words), began=perf_counter())
        warm_up(OnnxSession(path, threads=1))


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """Yield a file that exists only in memory."""
    descriptor = os.memfd_create("rehearsal")
    try:
        os.write(descriptor, content)
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
