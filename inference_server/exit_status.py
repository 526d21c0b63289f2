"""How the process of an inference server ends, told to its parent by the exit status."""

from __future__ import annotations

from enum import IntEnum


class ServerExitStatus(IntEnum):
    """The ends that are as they should be; 1 is a failure, 2 a wrong command line."""

    STOPPED = 0
    """It was told to go, and has answered the calls that it had."""
    IDLE = 4
    """Nobody had called it for `--idle-timeout` seconds. Whoever wants it again starts it again."""
