"""The names under which processes hold leases, and which of these processes have ended.

A lease ends seconds after its process, which is all that other machines can know. A process that
shares the kernel and the PID namespace knows it at once.
"""

from __future__ import annotations

import os
import re
import socket
from functools import cache
from pathlib import Path

from gateway.proc_stat import read_proc_stat

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
_NAME = re.compile(r"\w+-(?P<pid>\d+)-(?P<started>\d+)@(?P<place>.+)")


def lease_owner_name(kind: str) -> str:
    """Return the name of this process: `worker-4711-90210@host/4026531836/9a5c…`.

    It consists of the kind, the process id, its start time in clock ticks, the host, the PID
    namespace and the boot id. Where there is no procfs, it is `worker-4711@host`.
    """
    pid = os.getpid()
    place = _place()
    if place is None:
        return f"{kind}-{pid}@{socket.gethostname()}"
    return f"{kind}-{pid}-{read_proc_stat(pid).started}@{place}"


def has_ended(owner: str) -> bool:
    """Return whether the process of that name is known to have ended.

    False for processes of other hosts, of other PID namespaces and of an earlier boot, and for
    names of another form, as older releases wrote them: nothing is known about those.
    """
    name = _NAME.fullmatch(owner)
    if name is None or name["place"] != _place():
        return False
    pid = int(name["pid"])
    try:
        found = read_proc_stat(pid)
    except OSError:  # it has ended, or it is hidden: procfs may show a user's own processes only
        return not _exists(pid)
    return found.state in "ZX" or found.started != name["started"]


def is_here(owner: str) -> bool:
    """Whether the process of that name is, or was, on this machine and in this PID namespace."""
    return owner.partition("@")[2] == (_place() or socket.gethostname())


@cache
def _place() -> str | None:
    """Return where the process ids of this process are valid; None if that is unknown."""
    try:
        if (_PROC / "self").readlink() != Path(str(os.getpid())):
            return None  # procfs belongs to another PID namespace
        namespace = (_PROC / "self/ns/pid").stat().st_ino
        return f"{socket.gethostname()}/{namespace}/{_BOOT_ID.read_text().strip()}"
    except OSError:
        return None


def _exists(pid: int) -> bool:
    """Whether there is such a process. `psutil.pid_exists` says no where procfs hides it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
    return True
