"""Limits of a child process that opens one model."""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path
from typing import IO

_MAX_REPORT_BYTES = 64 << 20


def begin(description: str | None) -> tuple[Path, IO[bytes]]:
    """Read the command line `MODEL --report FD --memory-bytes N --cpu-seconds N`, and obey it.

    Returns:
        The model to open, and where the report on it goes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path)
    parser.add_argument("--report", type=int, required=True, metavar="FD")
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--cpu-seconds", type=int, required=True)
    arguments = parser.parse_args()
    limit_process(arguments.memory_bytes, arguments.cpu_seconds)
    return arguments.model, os.fdopen(arguments.report, "wb")


def limit_process(memory_bytes: int, cpu_seconds: int) -> None:
    """Put this process under limits, before it opens a model."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, _MAX_REPORT_BYTES)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(kind: int, amount: int) -> None:
    """Lower a resource limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(kind)
    lowest = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (lowest, lowest))
