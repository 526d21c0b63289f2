"""A process with a name of a lease owner."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

_PROGRAM = """
import sys
from gateway.execution.lease_owner import lease_owner_name
print(lease_owner_name("worker"), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Holder:
    """The process, and the name that it gives itself."""

    process: subprocess.Popen[str]
    owner: str

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.process.kill()
        self.process.wait()


def start_holder() -> Holder:
    """Start one, which waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return Holder(process, process.stdout.readline().strip())
