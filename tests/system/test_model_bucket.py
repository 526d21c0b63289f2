"""An installation whose models are in a bucket, and what it does without the bucket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests import onnx_models
from tests.services.s3 import S3Server
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.system.installation import Installation, chain
from tests.timing import TIMEOUT_SECONDS, eventually

pytestmark = pytest.mark.processes


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """An S3 server."""
    server = S3Server(tmp_path)
    server.start()
    yield server
    with suppress(ProcessLookupError):
        server.end()


def variables(s3: S3Server) -> dict[str, str]:
    options = ",".join(f"{name}={value}" for name, value in s3.options.items())
    return {
        "SLIPSTREAM_MODEL_STORE": "s3://models/installation",
        "SLIPSTREAM_MODEL_STORE_OPTIONS": options,
    }


def command(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in another shell, which has none of the variables."""
    line = [sys.executable, "-m", "slipstream", *words, "--state", str(state)]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)


@pytest.mark.long
def test_models_go_on_without_the_bucket(s3: S3Server, tmp_path: Path) -> None:
    up = Up(tmp_path / "state", *NO_WORKER, **variables(s3))
    up.until("documentation")
    installation = Installation(up)
    installation.add_model("mlp", onnx_models.mlp(tmp_path / "mlp.onnx"))
    installation.serve("mlp")
    deployment = installation.deploy(chain("mlp"))
    call = {"json": {"input_data": {"x": [[0.1] * 4]}}}
    assert installation.trigger(deployment, **call).status_code == 200
    shown = command(up.state, "models", "show", "mlp", "--json")
    assert json.loads(shown.stdout)["name"] == "mlp", "with the settings of the installation"
    assert not (up.state / "models").exists()
    assert (up.state / "model-cache" / "mlp" / "1" / "model.onnx").is_file()

    s3.end()
    before = {process.pid for process in up.servers()}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    answered = eventually(
        lambda: installation.trigger(deployment, **call).status_code, lambda status: status == 200
    )
    assert answered == 200
    assert not before & {process.pid for process in up.servers()}, "it started from the cache"
    listed = installation.http.get("/node/models/")
    assert (listed.status_code, listed.json()["code"]) == (503, "model_store_unavailable")
    upload = installation.http.post(
        "/node/models/?name=other",
        content=b"x",
        headers={"Content-Type": "application/octet-stream"},
    )
    assert (upload.status_code, upload.json()["code"]) == (503, "model_store_unavailable")
    failed = command(up.state, "models", "list")
    assert failed.returncode != 0
    assert "the model store s3://models/installation cannot be reached" in failed.stderr
    found = command(up.state, "doctor").stdout
    assert "the model store s3://models/installation cannot be reached" in found
    for said in (up.errors, found, failed.stderr, listed.text, "".join(up.output)):
        assert s3.options["secret_access_key"] not in said
    for process in up.servers():
        assert not any("MODEL_STORE_OPTIONS" in name for name in process.environ())
    installation.stop()

    # Without what was fetched it starts, too; and says what is missing.
    shutil.rmtree(up.state / "model-cache")
    again = Up(up.state, *NO_WORKER, port=up.port, grpc_port=up.grpc_port, **variables(s3))
    again.until("documentation")
    url = f"{again.url}/node/inference-servers/"
    shown = httpx.get(url, headers={"X-API-Key": installation.key}).json()["items"]
    assert {server["state"] for server in shown} == {"failed"}
    assert "cannot be reached" in shown[0]["reason"]
    assert again.stop() == 0


def refusal(state: Path, **extra: str) -> str:
    """What `slipstream up` says before it ends."""
    ports = ("--port", str(free_port()), "--grpc-port", str(free_port()))
    done = subprocess.run(
        [sys.executable, "-m", "slipstream", "up", "--state", str(state), *ports, *NO_WORKER],
        env={**environment(), **extra},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_without_the_bucket_a_first_start_says_what_is_wrong(s3: S3Server, tmp_path: Path) -> None:
    s3.end()
    said = refusal(tmp_path / "state", **variables(s3))
    assert "the model store s3://models/installation cannot be reached" in said


@pytest.mark.long
@pytest.mark.parametrize("url", ["http://models", "s3:models", "file:models", "/models"])
def test_other_urls_are_refused(tmp_path: Path, url: str) -> None:
    said = refusal(tmp_path / "state", SLIPSTREAM_MODEL_STORE=url)
    assert "expected file:///folder, s3://bucket/" in said
