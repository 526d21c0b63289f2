"""The containers of Kubernetes, as their manifests run them: without rights, on a root file system
that is read-only, with the secrets and the folders that the manifests mount.

Not tested is what only a cluster does: modes of secrets, fsGroup, and limits.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.services.s3 import S3Server
from tests.slipstream.running import environment, free_port
from tests.slipstream.test_kubernetes import build
from tests.system.installation import TIMEOUT_SECONDS, chain
from tests.system.runs import eventually

pytestmark = [pytest.mark.services, pytest.mark.processes]

ROOT = Path(__file__).parents[2]
USER = "10001"
STORE = "s3://models/pods"
_FOLDERS = {"/etc/slipstream": "/run/secret"}
"""Mount points that this machine may lack, and cannot make on a root that is read-only."""

# Any, here and below: YAML and JSON
Json = dict[str, Any]


def moved(text: str) -> str:
    """Return a text of a manifest with the folders of this test."""
    for folder, other in _FOLDERS.items():
        text = text.replace(folder, other)
    return text


class Pod:
    """A container, which `bwrap` runs as Kubernetes would."""

    def __init__(
        self,
        folder: Path,
        container: Json,
        secret: Path,
        replaced: Mapping[str, str],
        **variables: str,
    ) -> None:
        assert shutil.which("bwrap"), "install the Debian package bubblewrap"
        folder.mkdir()
        self._folder = folder
        self._secret = secret
        self._variables = variables
        self._log = folder / "log"
        words = [moved(str(word)) for word in container["args"]]
        for old, new in replaced.items():
            words = [word.replace(old, new) for word in words]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                self._command(words), stdout=log, stderr=log, env={**environment(), **variables}
            )
        weakref.finalize(self, self.process.kill)

    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def execute(self, *words: str) -> str:
        """Do as `kubectl exec` does; return the output."""
        done = subprocess.run(
            self._command(words),
            env={**environment(), **self._variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End it as Kubernetes does: the sandbox itself does not pass signals on."""
        (container,) = psutil.Process(self.process.pid).children()
        container.terminate()
        assert self.process.wait(TIMEOUT_SECONDS) == 0, self.log()
        assert "Traceback" not in self.log(), self.log()

    def _command(self, words: Sequence[str]) -> list[str]:
        state, cache = self._folder / "state", self._folder / "cache"
        for made in (state, cache):
            made.mkdir(exist_ok=True)
        sandbox = ["bwrap", "--unshare-user", "--uid", USER, "--gid", USER, "--ro-bind", "/", "/"]
        sandbox += ["--dev", "/dev", "--proc", "/proc", "--die-with-parent"]
        for empty in ("/tmp", "/run", "/var/lib", "/var/cache"):
            sandbox += ["--tmpfs", empty]
        for code in (sys.prefix, str(ROOT)):  # they may be in one of these
            sandbox += ["--ro-bind", code, code]
        sandbox += ["--bind", str(state), "/var/lib/slipstream"]
        sandbox += ["--bind", str(cache), "/var/cache/slipstream"]
        sandbox += ["--ro-bind", str(self._secret), "/run/secret"]
        return [*sandbox, sys.executable, "-m", "slipstream", *words]


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[S3Server]:
    server = S3Server(tmp_path)
    server.start()
    yield server
    server.end()


@pytest.fixture
def secret(tmp_path: Path, bucket: S3Server) -> Iterator[Path]:
    """The folder of the secret `slipstream`."""
    database = PostgresDatabase()
    database.create()
    folder = tmp_path / "secret"
    folder.mkdir()
    files = {
        "database-url": database.url,
        "broker-url": "redis://127.0.0.1:6379/0",
        "key-pepper": secrets.token_hex(32),
        "inference-tokens": secrets.token_hex(32),
        "metrics-tokens": secrets.token_hex(32),
        "model-store-options": "\n".join(f"{key}={it}" for key, it in bucket.options.items()),
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    yield folder
    database.drop()


def test_gateway_worker_and_inference_server_run_as_their_manifests_say(
    secret: Path, tmp_path: Path
) -> None:
    documents = build("base")
    (settings,) = [each["data"] for each in documents if each["kind"] == "ConfigMap"]
    variables = {name: moved(value) for name, value in settings.items()}
    variables |= {
        "SLIPSTREAM_MODEL_STORE": STORE,
        "SLIPSTREAM_QUEUE_PREFIX": f"pods-{secrets.token_hex(4)}",
    }
    containers = {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]["containers"][0]
        for document in documents
        if document["kind"] == "Deployment"
    }
    (job,) = build("base/migration")
    (migration,) = job["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: moved(each["value"]) for each in migration["env"]}
    migrated = Pod(tmp_path / "migration", migration, secret, {}, **given)
    assert migrated.process.wait(TIMEOUT_SECONDS) == 0, migrated.log()
    assert "The tables are made" in migrated.log()
    rest, grpc, worker_port, model_port, metrics = (str(free_port()) for _ in range(5))
    gateway = Pod(
        tmp_path / "gateway",
        containers["slipstream-gateway"],
        secret,
        {"8080": rest, "8081": grpc},
        **variables,
    )
    url = f"http://127.0.0.1:{rest}"
    eventually(lambda: status(f"{url}/readyz"), is_ok)
    key = json.loads(gateway.execute("keys", "create", "--name", "t", "--manage", "--json"))["key"]
    serve = json.loads(gateway.execute("keys", "create", "--name", "p", "--serve", "--json"))["key"]
    own = tmp_path / "own-secret"
    own.mkdir()
    for name in ("inference-tokens", "model-store-options"):
        shutil.copy(secret / name, own)
    (own / "serve-key").write_text(serve)
    worker = Pod(
        tmp_path / "worker",
        containers["slipstream-worker"],
        secret,
        {"9100": worker_port},
        **variables,
    )
    http = httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=TIMEOUT_SECONDS)
    uploaded = http.post(
        "/node/models/",
        params={"name": "mlp", "visibility": "shared"},
        content=onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert uploaded.status_code == 201, uploaded.text
    printed = gateway.execute("k8s", "render", "mlp", "--image", "x", "--gateway", url)
    deployment, _ = yaml.safe_load_all(printed)
    server = Pod(
        tmp_path / "server",
        deployment["spec"]["template"]["spec"]["containers"][0],
        own,
        {"0.0.0.0:9000": f"127.0.0.1:{model_port}", "0.0.0.0:9001": f"127.0.0.1:{metrics}"}
        | {"$(POD_IP)": "127.0.0.1"},
    )
    for port in (worker_port, metrics):
        eventually(partial(status, f"http://127.0.0.1:{port}/readyz"), is_ok)
    flow = http.post("/node/flows/", json=chain("mlp")).json()["id"]
    for mode in ("fast", "sync"):
        made = http.post("/node/deployments/", json={"flow_id": flow, "execution_mode": mode})
        trigger = f"/node/deployment-trigger/{made.json()['id']}/"
        body = {"input_data": {"x": [[1.0, 2.0, 3.0, 4.0]]}}
        eventually(lambda call=partial(http.post, trigger, json=body): call().status_code, is_ok)
    http.close()
    for pod in (server, worker, gateway):
        pod.stop()


def status(url: str) -> int:
    """Return the status that is answered there; 0: none."""
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0


def is_ok(code: int) -> bool:
    """Whether a status is 200."""
    return code == httpx.codes.OK
