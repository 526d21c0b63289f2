"""The name of this process in `top` and `ps`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_NAME_FILE = Path("/proc/self/comm")


def set_process_name(name: str) -> None:
    """Set the name that `top` and `ps` show, of which Linux keeps 15 bytes. No effect elsewhere."""
    with suppress(OSError):
        _NAME_FILE.write_text(name)
