"""`slipstream inference-server`: replaces this process by an inference server."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> None:
    """Become an inference server, which parses all arguments, including --help."""
    command = [sys.executable, "-m", "inference_server", *arguments]
    os.execv(sys.executable, command)
