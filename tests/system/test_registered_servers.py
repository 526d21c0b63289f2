"""Inference servers that no host starts: they register, are called, and leave or are gone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest

from gateway.fleet.registrations import GRACE_SECONDS, LEASE_SECONDS
from tests.onnx_models import identity
from tests.services.s3 import S3Server
from tests.slipstream.running import NO_WORKER, Up, environment, free_port
from tests.system.installation import Installation, Json, chain
from tests.system.registered_server import RegisteredServer
from tests.timing import Timer, eventually

pytestmark = pytest.mark.processes

TOKEN = "a-token-of-32-characters-or-more"
CALL = {"input_data": {"x": [[1.0, 2.0, 3.0]]}}
_SILENCE_SECONDS = 2


class Site:
    """An installation with a model that it does not serve, and what servers of others need."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.tokens, self.key_file = folder / "tokens", folder / "key"
        self.tokens.write_text(f"{TOKEN}\n")
        self.up = Up(
            folder / "state",
            *NO_WORKER,
            "--no-demo",
            "--unresponsive-seconds",
            str(_SILENCE_SECONDS),
            SLIPSTREAM_UPSTREAM_TOKEN_FILE=str(self.tokens),
            **variables,
        )
        self.up.until("documentation")
        self.installation = Installation(self.up)
        self.installation.add_model("echo", identity(folder / "echo.onnx"))
        key = self.installation.command("keys", "create", "--name", "pods", "--serve")["key"]
        self.key_file.write_text(key)

    def start(
        self, name: str, *options: str, gateways: str = "", **variables: str
    ) -> RegisteredServer:
        """Start a server, which registers at our gateway or at `gateways`."""
        store = () if "--store" in options else ("--store", str(self.up.state / "models"))
        given = ("--register", gateways or self.up.url, "--register-key-file", str(self.key_file))
        return RegisteredServer(
            name,
            self.folder,
            *given,
            "--token-file",
            str(self.tokens),
            *store,
            *options,
            **variables,
        )

    def get(self, path: str) -> httpx.Response:
        """GET, also where nothing answers: 503."""
        try:
            return httpx.get(f"{self.up.url}{path}")
        except httpx.TransportError:
            return httpx.Response(503)

    def processes(self) -> list[Json]:
        """What is known of the processes of the model."""
        servers = self.installation.http.get("/node/inference-servers/").json()["items"]
        return [process for server in servers for process in server["processes"]]

    def until_ready(self, count: int) -> None:
        """Wait until so many are ready, and called."""
        states = ["ready"] * count
        eventually(lambda: [each["state"] for each in self.processes()], lambda now: now == states)
        metric = f'inference_server_connected_replicas{{model="echo",version="1"}} {count}.0'
        eventually(lambda: httpx.get(f"{self.up.url}/metrics").text, lambda text: metric in text)


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    with TemporaryDirectory(prefix="ss-") as folder:
        made = Site(Path(folder))
        yield made
        made.installation.stop()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The installation, when nothing of the test before is left."""
    eventually(lambda: shared_site.get("/livez"), lambda answer: answer.status_code == 200)
    eventually(shared_site.processes, lambda found: found == [])
    return shared_site


class Load:
    """Four callers without a pause, as a context manager."""

    def __init__(self, site: Site, deployment_id: str) -> None:
        self._installation = site.installation
        self._deployment_id = deployment_id
        self.statuses: Counter[int] = Counter()
        self.failures: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            answer = self._installation.trigger(self._deployment_id, json=CALL)
            self.statuses[answer.status_code] += 1
            if answer.status_code != 200:
                self.failures.append((time.monotonic(), answer.text))


def test_a_server_is_found_called_and_replaced_without_a_failed_call(site: Site) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    first = site.start("first", gateways=f"{dead},{site.up.url}")
    site.until_ready(1)
    deployment_id = site.installation.deploy(chain("echo"))
    (process,) = site.processes()
    assert (process["is_registered"], process["host_id"]) == (True, None)
    assert process["tcp_address"].startswith("127.0.0.1:")
    assert process["boot_seconds"] > 0
    answer = site.installation.trigger(deployment_id, json=CALL)
    assert answer.json()["output_data"] == {"y": [[1.0, 2.0, 3.0]]}
    with Load(site, deployment_id) as load:
        second = site.start("second")
        site.until_ready(2)
        first.stop()
        assert len(site.processes()) == 1
        time.sleep(0.5)
    assert not load.failures
    second.stop()
    refused = eventually(
        lambda: site.installation.trigger(deployment_id, json=CALL),
        lambda answer: "no inference server for echo version 1 is left" in answer.text,
    )
    assert (refused.status_code, refused.json()["code"]) == (503, "inference_server_unavailable")
    (gateway,) = site.up.gateways()
    gateway.kill()
    psutil.wait_procs([gateway])
    ready = eventually(lambda: site.get("/readyz"), lambda answer: answer.status_code == 200)
    assert "inference server echo version 1" in str(ready.json()["degraded"])


@pytest.mark.long
def test_a_killed_server_fails_what_it_had_and_is_gone_with_its_lease(site: Site) -> None:
    first, second = site.start("first"), site.start("second")
    site.until_ready(2)
    deployment_id = site.installation.deploy(chain("echo"))
    with Load(site, deployment_id) as load:
        first.process.kill()
        killed_at, timer = time.monotonic(), Timer()
        site.until_ready(1)
        # The lease; it is seen to have ended for the grace, by looks a second apart.
        assert timer.seconds < LEASE_SECONDS + GRACE_SECONDS + 4
        excused = timer.elapsed - timer.seconds
    assert load.statuses[200] > 0
    late = [failure for failure in load.failures if failure[0] > killed_at + 1 + excused]
    assert len(load.failures) <= 4, load.failures
    assert not late, "the gateway notices the end of the connection"
    second.stop()


@pytest.mark.long
def test_a_server_that_hangs_gets_no_calls_and_returns_by_itself(site: Site) -> None:
    first, second = site.start("first"), site.start("second")
    site.until_ready(2)
    deployment_id = site.installation.deploy(chain("echo"))
    first.process.send_signal(signal.SIGSTOP)
    site.until_ready(1)
    with Load(site, deployment_id) as load:
        time.sleep(0.5)
        assert not load.failures
        first.process.send_signal(signal.SIGCONT)
        site.until_ready(2)
    assert not load.failures
    first.stop()
    second.stop()


@pytest.mark.long
def test_a_server_outlives_the_gateway(site: Site) -> None:
    server = site.start("only")
    site.until_ready(1)
    deployment_id = site.installation.deploy(chain("echo"))
    (gateway,) = site.up.gateways()
    gateway.kill()
    psutil.wait_procs([gateway])
    eventually(server.log, lambda log: "not_registered" in log)

    def status() -> int:
        try:
            return site.installation.trigger(deployment_id, json=CALL).status_code
        except httpx.TransportError:
            return 0

    eventually(status, lambda found: found == 200)
    site.until_ready(1)
    server.stop()


@pytest.mark.long
def test_a_server_says_why_it_cannot_register(site: Site) -> None:
    trigger = site.installation.command("keys", "create", "--name", "calls")["key"]
    site.key_file.write_text(trigger)
    server = site.start("refused")
    eventually(server.log, lambda log: "403 api_key_forbidden" in log)
    assert trigger not in server.log()
    assert site.processes() == []
    serve = site.installation.command("keys", "create", "--name", "later", "--serve")["key"]
    site.key_file.write_text(serve)
    site.until_ready(1)
    server.stop()


def test_a_model_that_cannot_be_served_is_shown_with_the_reason(site: Site) -> None:
    server = site.start("nothing", "--store", str(site.folder / "empty"))
    eventually(site.processes, lambda found: [one["state"] for one in found] == ["failed"])
    assert "no model 'echo'" in site.processes()[0]["reason"]
    server.stop()


@pytest.mark.long
@pytest.mark.services
def test_a_server_shares_only_the_bucket(tmp_path: Path) -> None:
    s3 = S3Server(tmp_path)
    s3.start()
    options, others = tmp_path / "options", tmp_path / "options-of-the-server"
    options.write_text("\n".join(f"{name}={value}" for name, value in s3.options.items()))
    nowhere = {**s3.options, "endpoint": f"http://127.0.0.1:{free_port()}"}
    others.write_text("\n".join(f"{name}={value}" for name, value in nowhere.items()))
    try:
        with TemporaryDirectory(prefix="ss-") as folder:
            bucket = "s3://models/installation"
            made = Site(
                Path(folder),
                SLIPSTREAM_MODEL_STORE=bucket,
                SLIPSTREAM_MODEL_STORE_OPTIONS_FILE=str(options),
            )
            cache = Path(folder) / "cache-of-the-server"
            server = made.start(
                "pod",
                *("--store", bucket, "--store-options-file", str(others), "--cache", str(cache)),
            )
            eventually(server.log, lambda log: "model_not_fetched" in log)
            (process,) = made.processes()
            assert (process["state"], process["phase"]) == ("booting", "fetching")
            others.write_text(options.read_text())
            made.until_ready(1)
            assert (cache / "echo" / "1" / "model.onnx").is_file()
            deployment_id = made.installation.deploy(chain("echo"))
            assert made.installation.trigger(deployment_id, json=CALL).status_code == 200
            server.stop()
            made.installation.stop()
    finally:
        s3.end()


@pytest.mark.long
def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    base = ("--store", "models", "--model", "echo", "--version", "1")
    for options, reason in (
        (base, "neither --socket nor --tcp"),
        ((*base, "--socket", "s", "--register", "http://g", "--register-key-file", "k"), "--tcp"),
        ((*base, "--tcp", "127.0.0.1:0", "--register", "http://g"), "--register-key-file"),
        ((*base, "--tcp", "127.0.0.1:0", "--register", "g"), "expected URLs"),
        (("--store", "s3://b", *base[2:], "--tcp", "127.0.0.1:0"), "--cache"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "slipstream", "inference-server", *options],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            cwd=tmp_path,
        )
        assert done.returncode == 2
        assert reason in done.stderr
    assert not list(tmp_path.iterdir())
