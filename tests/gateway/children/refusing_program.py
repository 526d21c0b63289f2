"""A program whose fork server can fork nothing, as on a machine that has reached its limit."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from gateway.flows.evaluator_process import start

__all__ = ["start"]


def _refuse() -> NoReturn:
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


os.fork = _refuse
