"""Limits of a child process that opens one model."""

from __future__ import annotations

import resource

_MAX_REPORT_BYTES = 64 << 20


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
