"""Fetches example code, and executes it as it is written, with only the key filled in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slipstream.running import environment
from tests.system.flow_documents import linear_flow, node
from tests.system.installation import Installation, Json, chain
from tests.system.runs import Runs

MASK = re.compile(r"sk-[0-9A-Za-z]{5}\*{8}[0-9A-Za-z]{5}")
COMPLETE_KEY = re.compile(r"sk-[0-9A-Za-z]{46}")
ROW = [[5.1, 3.5, 1.4, 0.2]]
SECONDS = 60

ALL_VARIANTS = ("wait", "start", "poll", "events", "batch", "webhook")
VARIANTS = {
    "sync": ("wait", "poll", "events", "batch", "webhook"),
    "async": ("start", "poll", "events", "batch", "webhook"),
    "fast": ("wait", "batch", "webhook"),
}
"""By mode: those that a deployment has."""
VALUE = r"""param1["']?: ?["']value1["']"""
RESULT = [r"completed", VALUE]
FOLLOWED = {"wait": RESULT, "poll": RESULT, "events": RESULT}
EXPECTED = {
    "sync": {**FOLLOWED, "batch": [rf"(?s){VALUE}.*{VALUE}"]},
    "async": {
        **FOLLOWED,
        "start": [r"flow_run_id"],
        "batch": [r"(?s)(queued|running).*(queued|running)"],
    },
    "fast": {"wait": [r"completed", r"label"], "batch": [r"(?s)label.*label"]},
}
"""By mode and variant: what an example prints, whatever its language."""

services = pytest.mark.services
COMMANDS = ["httpie", pytest.param("curl", marks=services)]
PROGRAMS = ["python", pytest.param("javascript", marks=services)]
if shutil.which("go"):
    PROGRAMS.append("go")
languages = pytest.mark.parametrize("language", COMMANDS + PROGRAMS)
programs = pytest.mark.parametrize("language", PROGRAMS)


def echo_flow(test_data: Json | None) -> Json:
    """Return a flow whose output is its input."""
    fields = {name: f"input.{name}" for name in test_data or {"param1": ""}}
    given = {} if test_data is None else {"test_data": test_data}
    return linear_flow(
        'It\'s an "echo" \\ 🚀 */',
        node("input", "api_input", **given),
        node("output", "api_output", fields=fields),
    )


class Examples:
    """The example code of an installation, and a folder to run it in."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self.installation = installation
        self.runs = Runs(installation)
        self.http = installation.http
        self.folder = folder
        # httpie would ask for its newest version, however long that takes.
        self._httpie = folder / "httpie"
        self._httpie.mkdir()
        (self._httpie / "config.json").write_text('{"disable_update_warnings": true}')

    def deploy(self, mode: str = "sync", kind: str = "server", **settings: object) -> str:
        """Deploy a flow that can be called in a mode."""
        flow = echo_flow({"param1": "value1"})
        if mode == "fast":
            flow = chain("iris", input={"test_data": {"x": ROW}})
        return self.runs.deploy(flow, mode, kind, **settings)

    def of(self, deployment: str, **choices: object) -> Json:
        """Return the chosen examples of a deployment."""
        path = f"/node/deployments/{deployment}/examples/"
        answer = self.http.get(path, params={name: str(it) for name, it in choices.items()})
        assert answer.status_code == 200, answer.text
        assert not COMPLETE_KEY.search(answer.text)
        found: Json = answer.json()
        return found

    def one(self, deployment: str, language: str, variant: str, **choices: object) -> Json:
        """Return one example."""
        found = self.of(deployment, language=language, variant=variant, **choices)
        (example,) = found["items"]
        assert (example["language"], example["variant"]) == (language, variant)
        file = found["input_file"]
        if file is not None:
            (self.folder / file["name"]).write_text(file["content"])
        made: Json = example
        return made

    def execute(
        self, example: Json, *, key: str | None = None, url: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run an example by its own command, with the complete key in place of the mask.

        `url` replaces the URL of the gateway.
        """
        command = self.write(example, key=key, url=url)
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment(), **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def write(self, example: Json, *, key: str | None = None, url: str = "") -> list[str]:
        """Write the example's file; return the command that runs it."""
        code = MASK.sub(self.installation.key if key is None else key, example["code"])
        code = code.replace(self.installation.up.url, url or self.installation.up.url)
        (self.folder / example["filename"]).write_text(code)
        program, *words = example["run"].split()
        # the packages that an example needs are those of the tests
        return [sys.executable if program == "python" else program, *words]

    def environment(self) -> dict[str, str]:
        """Return an environment in which the commands of the tests' own packages are found."""
        ours = environment()
        path = f"{Path(sys.executable).parent}:{ours['PATH']}"
        return {**ours, "PATH": path, "HTTPIE_CONFIG_DIR": str(self._httpie)}

    def output_of_last_run(self, deployment: str) -> object:
        """Return the output of the last run of a deployment."""
        (run, *_) = self.runs.list_all(deployment=deployment)
        return self.runs.until(run["flow_run_id"])["output_data"]


def printed(ran: subprocess.CompletedProcess[str]) -> str:
    """Return what a successful example has printed."""
    assert ran.returncode == 0, f"{ran.args}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout
