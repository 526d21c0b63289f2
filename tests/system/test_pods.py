"""The image, and its containers as Kubernetes runs them: without rights, on a root file system that
is read-only, with the folders and secrets that the manifests mount.

Not tested is what only a cluster does, such as the networks between pods.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import shlex
import shutil
import subprocess
import weakref
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests import onnx_models
from tests.gateway.databases import PostgresDatabase
from tests.services.s3 import S3Server
from tests.slipstream.running import free_port
from tests.slipstream.test_kubernetes import build
from tests.system.installation import chain
from tests.timing import TIMEOUT_SECONDS, eventually

pytestmark = [
    pytest.mark.services,
    pytest.mark.processes,
    pytest.mark.long,
    pytest.mark.timeout(900),  # the image is built from packages
]

ROOT = Path(__file__).parents[2]
STORE = "s3://models/pods"
_OF_THIS_MACHINE = (
    "/etc/apt/apt.conf.d",
    "/etc/apt/auth.conf.d",
    "/etc/pip.conf",
    "/etc/ssl/certs",
)
"""How packages are fetched here. None of it is in the image."""

# Any, here and below: YAML and JSON
Json = dict[str, Any]


PODMAN = ["podman", "--runtime=runc"]
"""podman's default, crun, refuses to run where there are cgroups of both versions."""


def podman(*words: str, **options: Any) -> str:
    """Run it; return its output."""
    done = subprocess.run([*PODMAN, *words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"podman {shlex.join(words)}:\n{done.stdout[-4_000:]}{done.stderr}"
    return done.stdout


def limits() -> Iterator[str]:
    """Return options for the limits of this process: a container may not have higher ones."""
    for name, limit in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        soft, hard = resource.getrlimit(limit)
        yield f"--ulimit={name}={soft}:{hard}"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The image of the Containerfile, on a base of Debian's packages."""
    name = f"localhost/slipstream-test-{secrets.token_hex(4)}"
    base = f"{name}-base"
    packages = "--include=python3-venv,ca-certificates"
    bootstrap = ["mmdebstrap", "--quiet", "--variant=apt", packages, "trixie"]
    volumes = [f"--volume={it}:{it}:ro" for it in _OF_THIS_MACHINE if Path(it).exists()]
    build = ["build", "--isolation=chroot", "--network=host", "--force-rm", "--layers=false"]
    build += [f"--build-arg=BASE={base}", f"--file={ROOT / 'Containerfile'}", f"--tag={name}"]
    try:
        with subprocess.Popen(bootstrap, stdout=subprocess.PIPE) as made:
            podman("import", "--quiet", "-", base, stdin=made.stdout)
        assert made.returncode == 0
        podman(*build, *limits(), *volumes, str(ROOT))
        yield name
    finally:
        podman("rmi", "--force", "--ignore", name, base)


class Pod:
    """A pod of one container, which `podman` runs as Kubernetes would."""

    def __init__(
        self,
        image: str,
        folder: Path,
        spec: Json,
        secret: Path,
        replaced: Mapping[str, str],
        **variables: str,
    ) -> None:
        folder.mkdir()
        self._folder = folder
        self._name = f"slipstream-test-{secrets.token_hex(4)}"
        (container,) = spec["containers"]
        words = [str(word) for word in container["args"]]
        for old, new in replaced.items():
            words = [word.replace(old, new) for word in words]
        run = [*PODMAN, "run", "--rm", f"--name={self._name}", "--network=host", *limits()]
        run += ["--log-driver=none", *_rights(spec, container)]
        own = {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
        run += [f"--env={name}={value}" for name, value in (variables | own).items()]
        run += self._mounts(spec, container, secret)
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen([*run, image, *words], stdout=log, stderr=log)
        weakref.finalize(self, subprocess.run, [*PODMAN, "rm", "--force", self._name], check=False)

    def log(self) -> str:
        """Return its output so far."""
        return self._log.read_text()

    def execute(self, *words: str) -> str:
        """Do as `kubectl exec` does; return the output."""
        return podman("exec", self._name, "slipstream", *words)

    def stop(self) -> None:
        """End it as Kubernetes does."""
        self.process.terminate()
        assert self.process.wait(TIMEOUT_SECONDS) == 0, self.log()
        assert "Traceback" not in self.log(), self.log()

    def _mounts(self, spec: Json, container: Json, secret: Path) -> Iterator[str]:
        group = spec["securityContext"]["fsGroup"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "secret" in volume:
                folder, mode = self._folder / mount["name"], volume["secret"]["defaultMode"]
                shutil.copytree(secret, folder)
                for file in folder.iterdir():
                    file.chmod(mode)
                    os.chown(file, 0, group)
            else:
                assert "emptyDir" in volume
                folder = self._folder / mount["name"]
                folder.mkdir()
                folder.chmod(0o2770)
            os.chown(folder, 0, group)
            yield f"--volume={folder}:{mount['mountPath']}{':ro' * mount.get('readOnly', False)}"


def _rights(spec: Json, container: Json) -> Iterator[str]:
    of_pod, own = spec["securityContext"], container["securityContext"]
    assert of_pod["runAsNonRoot"]
    yield f"--user={of_pod['runAsUser']}:{of_pod['runAsGroup']}"
    if own["readOnlyRootFilesystem"]:
        # As containerd: of what can be written, only /dev/shm is there without a volume.
        yield from ("--read-only", "--read-only-tmpfs=false", "--tmpfs=/dev/shm:size=64m")
    if not own["allowPrivilegeEscalation"]:
        yield "--security-opt=no-new-privileges"
    yield from (f"--cap-drop={name}" for name in own["capabilities"]["drop"])
    yield f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}"


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
    image: str, secret: Path, tmp_path: Path
) -> None:
    documents = build("base")
    (settings,) = [each["data"] for each in documents if each["kind"] == "ConfigMap"]
    variables = settings | {
        "SLIPSTREAM_MODEL_STORE": STORE,
        "SLIPSTREAM_QUEUE_PREFIX": f"pods-{secrets.token_hex(4)}",
    }
    specs = {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] == "Deployment"
    }
    (job,) = build("base/migration")
    migration = job["spec"]["template"]["spec"]
    given = {each["name"]: each["value"] for each in migration["containers"][0]["env"]}
    migrated = Pod(image, tmp_path / "migration", migration, secret, {}, **given)
    assert migrated.process.wait(TIMEOUT_SECONDS) == 0, migrated.log()
    assert "The tables are made" in migrated.log()
    rest, grpc, worker_port, model_port, metrics = (str(free_port()) for _ in range(5))
    gateway = Pod(
        image,
        tmp_path / "gateway",
        specs["slipstream-gateway"],
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
        image,
        tmp_path / "worker",
        specs["slipstream-worker"],
        secret,
        {"9100": worker_port},
        **variables,
    )
    http = httpx.Client(base_url=url, headers={"X-API-Key": key})
    uploaded = http.post(
        "/node/models/",
        params={"name": "mlp", "visibility": "shared"},
        content=onnx_models.mlp(tmp_path / "mlp.onnx").read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert uploaded.status_code == 201, uploaded.text
    printed = gateway.execute("k8s", "render", "mlp", "--image", image, "--gateway", url)
    deployment, _ = yaml.safe_load_all(printed)
    server = Pod(
        image,
        tmp_path / "server",
        deployment["spec"]["template"]["spec"],
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

    def processes() -> list[Json]:
        found: list[Json] = json.loads(gateway.execute("hosts", "processes", "--json"))["items"]
        return found

    expected = [("gateway", "ready", None), ("worker", "ready", None)]
    listed = eventually(
        processes,
        lambda found: [(it["kind"], it["state"], it["host_id"]) for it in found] == expected,
    )
    addresses = {it["address"] for it in listed if it["kind"] == "worker"}
    assert addresses == {f"http://{listed[1]['host']}:{worker_port}"}
    for pod in (server, worker):
        pod.stop()
    assert [it["kind"] for it in processes()] == ["gateway"]
    gateway.stop()


def status(url: str) -> int:
    """Return the status that is answered there; 0: none."""
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return 0


def is_ok(code: int) -> bool:
    """Whether a status is 200."""
    return code == httpx.codes.OK
