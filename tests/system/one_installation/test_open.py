"""`slipstream open`: the browser gets the address of a page of the console."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.slipstream.running import environment
from tests.system.flow_documents import transform_flow
from tests.system.installation import Installation


def open_page(
    installation: Installation, browser: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run the command with a command as the only browser."""
    state = ["--state", str(installation.up.state)]
    return subprocess.run(
        [sys.executable, "-m", "slipstream", "open", *words, *state],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "BROWSER": browser},
    )


def test_the_browser_gets_the_page_of_a_deployment_a_model_or_a_run(
    installation: Installation, tmp_path: Path
) -> None:
    deployment = installation.deploy(
        transform_flow(), execution_mode="async", deployment_type="server"
    )
    run_id = installation.trigger(deployment, json={"input_data": {"x": 1}}).json()["flow_run_id"]
    opened = tmp_path / "opened"
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o700)
    console = f"{installation.up.url}/console/"
    pages = {
        deployment: f"deployments/{deployment}",
        "mixed": "models/mixed/versions/1",
        run_id: f"runs/{run_id}",
    }
    for name, page in pages.items():
        ran = open_page(installation, f"{script} %s", name)
        assert (ran.returncode, ran.stdout) == (0, f"{console}{page}\n"), ran.stderr
    assert opened.read_text().split() == [f"{console}{page}" for page in pages.values()]


def test_without_a_browser_the_address_is_said(installation: Installation) -> None:
    ran = open_page(installation, "/bin/false %s")
    assert ran.returncode == 1
    assert f"open {installation.up.url}/console/ in one" in ran.stderr
    printed = open_page(installation, "/bin/false %s", "--print")
    assert (printed.returncode, printed.stdout) == (0, f"{installation.up.url}/console/\n")
