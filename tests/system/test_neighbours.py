"""Protection against another user of the machine and against a copy of its disk."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slipstream.running import NO_WORKER, Up
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS

UNPRIVILEGED_USER = 65534
PEPPER = "a pepper for this test only"
CALLBACK = {
    "notification_method": "webhook",
    "callback_url": "https://shop.example.com/hooks?token=query-of-the-callback",
}


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """An installation in an existing folder, under umask 0."""
    folder = Path(tempfile.mkdtemp(prefix="neighbours-"))
    folder.chmod(0o755)
    state = folder / "state"
    state.mkdir()
    state.chmod(0o755)
    (state / "slipstream.db").touch()
    (state / "slipstream.db").chmod(0o644)  # as left by an earlier version
    before = os.umask(0)
    try:
        up = Up(state, *NO_WORKER, SLIPSTREAM_KEY_PEPPER=PEPPER)
    finally:
        os.umask(before)
    up.until("documentation")
    installation = Installation(up)
    yield installation
    installation.stop()
    shutil.rmtree(folder)


def state_files(state: Path) -> list[Path]:
    """Return all files, folders and sockets below the state folder."""
    return [path for path in state.rglob("*") if path.exists()]


def test_state_files_are_accessible_to_their_owner_only(installation: Installation) -> None:
    state = installation.up.state
    installation.http.post("/node/flows/", json=chain("iris"))
    found = {path: path.stat().st_mode for path in state_files(state)}
    names = {path.name for path in found}
    assert {"slipstream.db", "slipstream.db-wal", "models", "run", "sockets", "broker"} <= names
    assert any(stat.S_ISSOCK(mode) for mode in found.values())
    assert [path for path, mode in found.items() if mode & 0o077] == []


_TRIES = """
import os, socket, sys
os.setgroups([])
os.setgid({user})
os.setuid({user})
for path in sys.argv[1:]:
    try:
        if path.endswith(".sock"):
            socket.socket(socket.AF_UNIX).connect(path)
        else:
            os.open(path, os.O_RDONLY)
    except PermissionError:
        continue
    print(path)
"""


def test_another_user_cannot_read_state_or_reach_inference_servers(
    installation: Installation,
) -> None:
    paths = [str(path) for path in state_files(installation.up.state)]
    assert any(path.endswith(".sock") for path in paths)
    public = installation.up.state.parent / "public"
    public.touch()
    command = [
        sys.executable,
        "-I",
        "-c",
        _TRIES.format(user=UNPRIVILEGED_USER),
        *paths,
        str(public),
    ]
    # only root can switch to another user
    become = [] if os.geteuid() == 0 else ["sudo", "-n"]
    tried = subprocess.run(
        [*become, *command], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    assert tried.returncode == 0, f"needs root or sudo without a password: {tried.stderr}"
    assert tried.stdout == f"{public}\n"


def test_the_list_of_processes_shows_no_secret(installation: Installation) -> None:
    commands = [
        installation.up.process.args,
        *(one.cmdline() for one in installation.up.children()),
    ]
    assert len(commands) > 3
    assert PEPPER not in repr(commands)
    assert "sk-" not in repr(commands)


def test_a_copy_of_the_disk_contains_no_plain_secret(
    installation: Installation,
) -> None:
    flow = installation.post("/node/flows/", chain("iris"))
    made = installation.post("/node/deployments/", {"flow_id": flow["id"], **CALLBACK})
    secret = made["webhook_secret"].removeprefix("whsec_")
    assert len(secret) > 40
    copied = b"".join(
        path.read_bytes() for path in state_files(installation.up.state) if path.is_file()
    )
    assert made["id"].encode() in copied, "the copy contains the deployment"
    assert secret.encode() not in copied
    assert installation.key[8:-5].encode() not in copied
    assert PEPPER.encode() not in copied
