"""The limit of open files of this process and of those that it starts."""

from __future__ import annotations

import resource


def raise_open_file_limit() -> None:
    """Raise the soft limit to the hard one.

    The soft limit is 1024 on most systems, for programs that call select(2), which none of our
    processes does. A shared process of some hundred inference servers needs more, and so does its
    supervisor.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
