"""A private PostgreSQL cluster, which a test may restart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from tests.services.machine import LOCAL, Machine
from tests.services.process import Service
from tests.slipstream.running import free_port

_USER = "postgres"
_SETTINGS = {
    "max_connections": "200",
    # Data written to the operating system survives a killed process; fsync is for power cuts.
    "fsync": "off",
    "max_wal_size": "128MB",  # little enough for the disk of a test
}


class PostgresServer(Service):
    """A new cluster on a free port, with the superuser `postgres` and no passwords."""

    def __init__(self, parent: Path | None = None, machine: Machine = LOCAL) -> None:
        """Create the cluster in a new folder below `parent`, by default that of temporary files.

        The server refuses to run as root, so root runs it as `postgres`.
        """
        self.port = free_port()
        self._address = machine.address
        user = _USER if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="slipstream-postgres-", dir=parent))
        if user:
            shutil.chown(self._home, user, user)
        data = self._home / "data"
        initdb = [_binary("initdb"), "-D", str(data), "-U", _USER, "-A", "trust", "--no-sync"]
        subprocess.run(
            initdb, cwd=self._home, user=user, group=user, check=True, capture_output=True
        )
        with (data / "pg_hba.conf").open("a") as access:
            access.write(f"host all all {machine.address}/24 trust\n")
        command = [_binary("postgres"), "-D", str(data), "-p", str(self.port)]
        command += ["-k", str(self._home), "-c", f"listen_addresses={machine.address}"]
        if machine.prefix:  # what runs a command there needs root's rights
            other = ("setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups")
            command, user = [*machine.prefix, *(other if user else ()), *command], None
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        super().__init__("postgres", command, self._ready, folder=self._home, user=user)

    def create(self, name: str) -> str:
        """Create a database; return its URL."""
        address = ["-h", self._address, "-p", str(self.port), "-U", _USER]
        subprocess.run(["createdb", *address, name], check=True, capture_output=True)
        return self.url(name)

    def url(self, name: str) -> str:
        """Return the URL of a database, which may not exist yet."""
        return f"postgresql://{_USER}@{self._address}:{self.port}/{name}"

    def remove(self) -> None:
        """Stop the server and delete its data."""
        # immediate shutdown: its data is deleted anyway
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    def _ready(self) -> bool:
        command = ["pg_isready", "-q", "-h", self._address, "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0


def _binary(name: str) -> str:
    """Return the path of a program that Debian does not put on the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([*map(str, folders), os.environ["PATH"]]))
    assert found is not None, f"{name} is neither on the PATH nor below /usr/lib/postgresql"
    return found
