"""The limit of open files of this process and of those that it starts."""

from __future__ import annotations

import resource

_ENOUGH = 65_536
"""Some programs, which processes may start, walk over all descriptors that their limit allows."""


def raise_open_file_limit() -> None:
    """Raise the soft limit to the hard one, or to 65,536 if that is less; never lower it.

    The soft limit is 1024 on most systems, for programs that call select(2), which none of our
    processes does. A shared process of some hundred inference servers needs more, and so does its
    supervisor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
