"""`slipstream inference-server`: that process, in place of this one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Become an inference server; every argument, --help too, is its own."""
    command = [sys.executable, "-m", "inference_server", *arguments]
    os.execv(sys.executable, command)  # noqa: S606 - our own program, never a shell
