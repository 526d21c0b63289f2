"""`slipstream deployments watch` prints the calls that gateways of the installation answer."""

from __future__ import annotations

import json
import select
import subprocess
import sys

import pytest

from tests.slipstream.running import environment
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation
from tests.system.runs import Runs

pytestmark = pytest.mark.processes


def test_calls_are_printed_as_they_come(installation: Installation) -> None:
    runs = Runs(installation)
    deployment = runs.deploy(transform_flow(), "sync", "server")
    words = ("deployments", "watch", deployment, "--json", "--state", str(installation.up.state))
    with subprocess.Popen(
        (sys.executable, "-m", "slipstream", *words),
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as watching:
        assert watching.stdout is not None
        while not select.select([watching.stdout], [], [], 0.2)[0]:
            assert runs.call(deployment, {"x": 1}).is_success
        call = json.loads(watching.stdout.readline())
        watching.kill()
    assert (call["status"], call["code"], call["address"]) == (200, None, "127.0.0.1")
    assert "total;dur=" in call["server_timing"]
