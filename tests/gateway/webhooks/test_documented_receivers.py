"""The example receivers of docs/webhooks.md, run unchanged."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT
from tests.gateway.webhooks.harness import WebhookHarness
from tests.slipstream.running import free_port
from tests.timing import TIMEOUT_SECONDS

BLOCK = re.compile(r"```(python|javascript)\n(.*?)```", re.DOTALL)


def command(language: str, folder: Path) -> Sequence[str]:
    """Write the documented program to a file; return the command that runs it."""
    programs = dict(BLOCK.findall((ROOT / "docs" / "webhooks.md").read_text()))
    file = folder / ("receiver.py" if language == "python" else "receiver.mjs")
    file.write_text(programs[language])
    return [sys.executable if language == "python" else "node", str(file)]


@contextmanager
def running(language: str, folder: Path, secret: str, port: int) -> Iterator[list[str]]:
    """Run the documented program; its output lines are available after it ends."""
    process = subprocess.Popen(
        command(language, folder),
        env={**os.environ, "SLIPSTREAM_WEBHOOK_SECRET": secret, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    lines: list[str] = []
    try:
        until_it_listens(port)
        yield lines
    finally:
        process.terminate()
        output, _ = process.communicate()
        lines += output.splitlines()


def until_it_listens(port: int) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize(
    "language", ["python", pytest.param("javascript", marks=pytest.mark.services)]
)
async def test_a_documented_receiver_accepts_our_events_once_and_rejects_forged_ones(
    harness: WebhookHarness, node_folder: Path, language: str
) -> None:
    port = free_port()
    made = await harness.deploy()
    await harness.change(made, callback_url=f"http://127.0.0.1:{port}/hooks")
    with running(language, node_folder, made["webhook_secret"], port) as lines:
        run_id = await harness.finish(made)
        shown = await harness.until(run_id, "delivered")
        await harness.user.post(f"/node/webhooks/deliveries/{shown['id']}/replay/")
        await harness.until(run_id, "delivered")
        await harness.ask(made, "rotate")
        await harness.ask(made, "end-overlap")
        refused = (await harness.ask(made, "test")).json()
    assert refused["last_status_code"] == 401
    (line,) = lines
    assert line.startswith("run.completed")
    assert run_id in line
