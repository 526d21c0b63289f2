"""A small file system of its own, to be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path


class SmallDisk:
    """A tmpfs, which only root can mount: those who run the services of the tests are root."""

    def __init__(self, *, mebibytes: int) -> None:
        # Not among pytest's folders, which are closed to other users: PostgreSQL uses it too.
        self.folder = Path(tempfile.mkdtemp(prefix="slipstream-disk-"))
        self._ballast = self.folder / "ballast"
        self._options = f"size={mebibytes}m,mode=755"

    def mount(self) -> None:
        """Mount it."""
        command = ["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", str(self.folder)]
        subprocess.run(command, check=True, capture_output=True)

    def unmount(self) -> None:
        """Take it away, with what it holds."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True, capture_output=True)
        self.folder.rmdir()

    def fill(self, *, leave: int = 0) -> None:
        """Fill it, but for some bytes."""
        with self._ballast.open("ab") as file:
            while (more := shutil.disk_usage(self.folder).free - leave) > 0:
                with suppress(OSError):  # others have taken some of it meanwhile
                    size = os.fstat(file.fileno()).st_size
                    os.posix_fallocate(file.fileno(), 0, size + more)

    def make_room(self) -> None:
        """Take away what `fill` has written."""
        self._ballast.unlink()
