"""What the host grants this process: CPUs, memory, and a locale that ONNX Runtime needs.

Limits of CPU and memory are read from control groups, version 1 and 2, as containers have them.
"""

from __future__ import annotations

import locale
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from telemetry.control_groups import ROOT, available_memory, control_group_folders

_RUN_BYTES = 2 << 30
_THREAD_BYTES = 16 << 20
"""A thread's stack, and what its allocator holds."""
_MODEL_FACTOR = 4
STRING_NORMALIZER_LOCALE = "en_US.UTF-8"
"""The locale that the operator StringNormalizer takes where the model names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadPlan:
    """The CPUs that this process may use, and how many threads a run gets."""

    cpus: float
    """CPUs that the process may keep busy; a quota can be a fraction."""
    reason: str
    """What sets `cpus`: the cgroup quota or the CPU affinity."""
    servers: int
    """Inference servers that share the CPUs."""
    intra_op: int
    """Threads of one run."""

    def __str__(self) -> str:
        shared = f" shared by {self.servers} servers" if self.servers > 1 else ""
        return f"{self.intra_op} threads per run ({self.cpus:g} CPUs by {self.reason}{shared})"


def plan_threads(*, servers: int = 1, affinity: int | None = None, root: Path = ROOT) -> ThreadPlan:
    """Return the plan for this process, one of `servers` that share its CPUs.

    A fraction of a CPU is rounded down: with more threads than the quota allows, the kernel pauses
    the whole process. `affinity` is the number of CPUs that the process may run on; read from the
    system unless given.
    """
    if affinity is None:
        affinity = _cpu_affinity()
    cpus, reason = float(affinity), "affinity"
    quota = min(_cpu_quotas(root), default=cpus)
    if quota < cpus:
        cpus, reason = quota, "cgroup quota"
    return ThreadPlan(
        cpus=cpus, reason=reason, servers=servers, intra_op=max(1, int(cpus / servers))
    )


def limit_memory(size: int) -> None:
    """Make allocations fail once the process's data would exceed `size` bytes.

    A request can ask for a tensor larger than the machine's memory, merely by its shape. The kernel
    would promise the memory and kill the process when it is written to. With a limit ONNX Runtime's
    allocation fails, and only that call with it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


class MemoryLimit:
    """The memory of this process, limited by what its models need, generously.

    A model is read into memory, its weights are copied, and some of them are reordered for its
    operators: three times its size. What comes on top is for the runs.
    """

    def __init__(self) -> None:
        self._model_bytes: dict[object, int] = {}

    def add_model(self, owner: object, size: int, *, fixed: int | None = None) -> None:
        """Adapt the limit to one more model, of `size` bytes of files, before it is loaded.

        `fixed` is the limit in bytes that replaces the derived one. May be called from any thread.
        """
        self._model_bytes[owner] = size
        derived = _RUN_BYTES + _cpu_affinity() * _THREAD_BYTES
        derived += _MODEL_FACTOR * sum(tuple(self._model_bytes.values()))
        limit_memory(fixed or min(derived, available_memory()))

    def remove_model(self, owner: object) -> None:
        """Let the next model have what the one of `owner` had."""
        self._model_bytes.pop(owner, None)


def has_locale(name: str = STRING_NORMALIZER_LOCALE) -> bool:
    """Return whether the system has a locale. Not thread-safe.

    Without en_US.UTF-8, which slim images lack, models that normalise strings do not load.
    """
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return True


def installation_of_locale(name: str = STRING_NORMALIZER_LOCALE) -> str:
    """Return the commands that install a locale such as en_US.UTF-8 on Debian and Ubuntu."""
    language, _, charset = name.partition(".")
    return f"apt-get install locales && localedef -i {language} -f {charset or 'UTF-8'} {name}"


def no_locale(name: str) -> str:
    """Return why a model does not load whose operator StringNormalizer names a missing locale."""
    return (
        f"its operator StringNormalizer needs the locale {name}, which this machine does not have: "
        f"install it with `{installation_of_locale(name)}`, or set the attribute `locale` of the "
        "operator to C.UTF-8 in the model"
    )


def _cpu_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield each quota that is set, in CPUs."""
    for folder in control_group_folders("cpu", root):
        quota, period = _cgroup_v2_quota(folder) or _cgroup_v1_quota(folder) or ("max", "")
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)


def _cgroup_v2_quota(folder: Path) -> tuple[str, str] | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return quota, period


def _cgroup_v1_quota(folder: Path) -> tuple[str, str] | None:
    try:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        return quota, (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
