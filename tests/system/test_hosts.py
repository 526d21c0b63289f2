"""Several hosts of one installation: each runs a share of the replicas, and takes over others'."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.fleet.hosts import LEASE_SECONDS
from slipstream.join_token import JoinToken
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.s3 import S3Server
from tests.slipstream.running import NO_WORKER, Up, environment
from tests.timing import Timer, eventually

pytestmark = [pytest.mark.processes, pytest.mark.services, pytest.mark.timeout(300)]

TOKEN = "a-token-of-32-characters-or-more"
FREEZE_SECONDS = 30.0
CALL = {"input_data": {"x": [[5.1, 3.5, 1.4, 0.2]]}}

# Any, here and below: JSON
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Site:
    """A folder with the state of each host, and what they share."""

    folder: Path
    postgres: PostgresServer
    s3: S3Server
    variables: dict[str, str]

    def up(self, name: str) -> Up:
        """Start the first host."""
        host = Up(self.state(name), *NO_WORKER, **self.variables, **self.own())
        host.until("documentation")
        return host

    def join(self, name: str, token: str, *options: str) -> Up:
        """Start a further host."""
        words = (*NO_WORKER, *options)
        host = Up(self.state(name), *words, command=("join", token), **self.own())
        host.until("documentation")
        return host

    def own(self) -> dict[str, str]:
        """What each host sets itself."""
        return {"SLIPSTREAM_INFERENCE_TCP": "127.0.0.1:0"}

    def state(self, name: str) -> Path:
        """The state folder of a host."""
        return self.folder / name

    def command(self, host: Up, *words: str) -> str:
        """Run a command on a host; return its output."""
        done = self._run(host, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refusal(self, host: Up, *words: str) -> str:
        """Run a command that is refused; return why."""
        done = self._run(host, *words)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def _run(self, host: Up, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "slipstream", *words, "--state", str(host.state)],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def processes(self, host: Up) -> Counter[tuple[str, str, str]]:
        """The host, the kind and the state of each, as `slipstream hosts processes` shows them."""
        shown = json.loads(self.command(host, "hosts", "processes", "--json"))["items"]
        return Counter((it["host_id"], it["kind"], it["state"]) for it in shown)

    def hosts(self, host: Up) -> list[Json]:
        """The hosts, as `slipstream hosts list` shows them."""
        found: list[Json] = json.loads(self.command(host, "hosts", "list", "--json"))["items"]
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """What several hosts share: a PostgreSQL, a Redis and a bucket; and a token for servers."""
    redis, postgres, s3 = RedisServer(tmp_path), PostgresServer(), S3Server(tmp_path)
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN}\n")
    redis.start()
    postgres.start()
    s3.start()
    options = tmp_path / "bucket-options"
    options.write_text("\n".join(f"{name}={value}" for name, value in s3.options.items()))
    with TemporaryDirectory(prefix="ss-") as folder:
        try:
            yield Site(
                folder=Path(folder),
                postgres=postgres,
                s3=s3,
                variables={
                    "SLIPSTREAM_DATABASE_URL": postgres.create("slipstream"),
                    "SLIPSTREAM_BROKER_URL": redis.url,
                    "SLIPSTREAM_MODEL_STORE": "s3://models/installation",
                    "SLIPSTREAM_MODEL_STORE_OPTIONS_FILE": str(options),
                    "SLIPSTREAM_INFERENCE_TOKEN_FILE": str(tokens),
                    "SLIPSTREAM_UPSTREAM_TOKEN_FILE": str(tokens),
                },
            )
        finally:
            postgres.remove()
            redis.stop()
            s3.end()


def demo_call(host: Up) -> tuple[str, dict[str, str]]:
    """The path and the headers of the demo's call."""
    (curl,) = [line for line in host.output if line.startswith("curl")]
    key = curl.partition("X-API-Key: ")[2].partition("'")[0]
    return curl.partition(f":{host.port}")[2].partition(" ")[0], {"X-API-Key": key}


def hide_sockets(*hosts: Up) -> None:
    """Remove the Unix sockets: on another machine they do not exist."""
    for host in hosts:
        for socket in (host.state / "run" / "sockets").iterdir():
            socket.unlink()


def places(site: Site) -> list[tuple[str | None, str]]:
    """The host and the state of each replica."""

    async def read() -> list[tuple[str | None, str]]:
        connection = await asyncpg.connect(site.variables["SLIPSTREAM_DATABASE_URL"])
        try:
            found = await connection.fetch("SELECT host_id, state FROM replicas")
        finally:
            await connection.close()
        return [(row["host_id"], row["state"]) for row in found]

    return asyncio.run(read())


def ready_on(found: Sequence[tuple[str | None, str]], *hosts: str) -> bool:
    return Counter(found) == Counter((host, "ready") for host in hosts)


class Caller(threading.Thread):
    """Calls a host one call after the other; `statuses` has what came."""

    def __init__(self, host: Up, path: str, key: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.statuses: list[int] = []
        self._done = threading.Event()
        self._http = httpx.Client(base_url=host.url, headers=key, timeout=10)
        self._path = path

    def run(self) -> None:
        """Call until `stop`."""
        while not self._done.is_set():
            self.statuses.append(self._http.post(self._path, json=CALL).status_code)

    def stop(self) -> list[int]:
        """Return the statuses that were not 200."""
        self._done.set()
        self.join()
        self._http.close()
        return [status for status in self.statuses if status != 200]


def test_hosts_share_replicas_and_take_over_those_of_one_that_is_gone(site: Site) -> None:
    first = site.up("first")
    path, key = demo_call(first)
    token = site.command(first, "hosts", "token").strip()
    assert JoinToken.decode(token).inference_token == TOKEN
    hide_sockets(first)
    second = site.join("second", token)
    (a, b) = [host["id"] for host in site.hosts(first)]
    assert ready_on(places(site), a), "what runs stays where it is"
    across = httpx.post(f"{second.url}{path}", json=CALL, headers=key)
    assert across.status_code == 200, "over TCP, with the token of the inference servers"
    own = second.state / "own.env"
    own.write_text("SLIPSTREAM_INFERENCE_TCP=127.0.0.1:0\n")
    reload = ("reload", "--env-file", str(own))
    assert "every variable of its token" in site.refusal(second, *reload)
    site.command(first, "models", "serve", "iris", "--replicas", "2")
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))

    eventually(
        lambda: site.processes(first),
        lambda found: found == {(it, "gateway", "ready"): 1 for it in (a, b)},
    )
    caller = Caller(first, path, key)
    caller.start()
    time.sleep(1)
    timer = Timer()
    second.stop(signal.SIGKILL)
    eventually(lambda: places(site), lambda found: ready_on(found, a, a))
    assert timer.seconds < 2 * LEASE_SECONDS + 5
    eventually(
        lambda: httpx.get(f"{first.url}/metrics").text,
        lambda text: 'hosts{state="alive"} 1.0' in text and 'hosts{state="gone"} 1.0' in text,
    )
    assert site.processes(first) == {(a, "gateway", "ready"): 1, (b, "gateway", "gone"): 1}
    shown = site.command(first, "hosts", "processes")
    assert f"http://127.0.0.1:{first.port}" in shown
    assert len(caller.stop()) <= 1, "the one in flight on it"
    assert len(caller.statuses) > 100

    third = site.join("third", token)
    c = site.hosts(first)[-1]["id"]
    first.stop(signal.SIGKILL)
    eventually(lambda: places(site), lambda found: ready_on(found, c, c))
    eventually(  # its gateway hears of them a moment later
        lambda: httpx.post(f"{third.url}{path}", json=CALL, headers=key),
        lambda answer: answer.status_code == 200,
    )
    without_token = Up(site.state("other"), *NO_WORKER, **site.variables, **site.own())
    assert without_token.ended() == 3
    assert "got none" in without_token.errors
    again = site.up("first")
    (d,) = {host["id"] for host in site.hosts(again) if host["state"] == "alive"} - {c}
    eventually(lambda: places(site), lambda found: ready_on(found, c, d))
    assert third.stop() == 0
    assert "Traceback" not in third.errors
    eventually(lambda: places(site), lambda found: ready_on(found, d, d))
    assert again.stop() == 0
    assert "Traceback" not in again.errors


@pytest.mark.long
def test_replicas_spread_and_leave_a_host_that_is_drained_without_a_failed_call(
    site: Site,
) -> None:
    first = site.up("first")
    path, key = demo_call(first)
    site.command(first, "models", "serve", "iris", "--replicas", "2")
    (a,) = [host["id"] for host in site.hosts(first)]
    eventually(lambda: places(site), lambda found: ready_on(found, a, a))
    callers = [Caller(first, path, key) for _ in range(2)]
    for caller in callers:
        caller.start()
    second = site.join("second", site.command(first, "hosts", "token").strip())
    (b,) = {host["id"] for host in site.hosts(first)} - {a}
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))
    assert "all on" not in site.command(first, "doctor")
    drained = site.command(first, "hosts", "drain", a)
    assert drained == f"{a} runs no inference server: it may be stopped.\n"
    assert ready_on(places(site), b, b)
    assert "alive, cordoned" in site.command(second, "hosts", "list")
    site.command(second, "hosts", "uncordon", a)
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))
    assert [status for caller in callers for status in caller.stop()] == []
    assert sum(len(caller.statuses) for caller in callers) > 1000
    assert (second.stop(), first.stop()) == (0, 0)


@pytest.mark.long
def test_a_database_that_freezes_moves_nothing(site: Site) -> None:
    first = site.up("first")
    path, key = demo_call(first)
    second = site.join("second", site.command(first, "hosts", "token").strip())
    (a, b) = [host["id"] for host in site.hosts(first)]
    site.command(first, "models", "serve", "iris", "--replicas", "2")
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))
    pids = {process.pid for host in (first, second) for process in host.servers()}
    made = site.command(first, "keys", "create", "--name", "t", "--manage", "--json")
    manager = {"X-API-Key": json.loads(made)["key"]}
    for host in (first, second):  # after which they know the keys and the deployment
        assert httpx.post(f"{host.url}{path}", json=CALL, headers=key).status_code == 200
        assert httpx.get(f"{host.url}/node/flows/", headers=manager).status_code == 200
    site.postgres.suspend()
    with ThreadPoolExecutor() as pool:
        waiting = [
            pool.submit(httpx.get, f"{host.url}/node/flows/", headers=manager)
            for host in (first, second)
            for _ in range(10)
        ]
        refused = [future.result() for future in waiting]
    for host in (first, second):
        ready = httpx.get(f"{host.url}/readyz")
        assert (ready.status_code, ready.json()["reasons"]) == (200, [])
        assert ready.json()["degraded"] == ["database: it does not answer"]
        timer = Timer()
        refused.append(httpx.get(f"{host.url}/node/flows/", headers=manager))
        assert timer.seconds < 1
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    until = time.monotonic() + FREEZE_SECONDS
    while time.monotonic() < until:
        for host in (first, second):
            assert httpx.post(f"{host.url}{path}", json=CALL, headers=key).status_code == 200
        time.sleep(0.2)
    # The second does not renew its lease until a while later: that is no reason to take anything.
    second.process.send_signal(signal.SIGSTOP)
    site.postgres.resume()
    time.sleep(LEASE_SECONDS / 2)
    assert ready_on(places(site), a, b)
    second.process.send_signal(signal.SIGCONT)
    eventually(
        lambda: [host["state"] for host in site.hosts(first)], lambda found: "gone" not in found
    )
    time.sleep(LEASE_SECONDS)
    assert ready_on(places(site), a, b)
    assert {process.pid for host in (first, second) for process in host.servers()} == pids
    assert (second.stop(), first.stop()) == (0, 0)


def test_what_cannot_be_joined_says_why(site: Site, tmp_path: Path) -> None:
    def refusal(*words: str, status: int = 3, **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "slipstream", *words],
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        assert "Traceback" not in done.stderr
        return done.stderr

    state = ("--state", str(tmp_path / "state"))
    assert "expected TOKEN first" in refusal("join", *state, status=2)
    assert "there is no installation" in refusal("hosts", "token", *state)
    (tmp_path / "state").mkdir()
    assert "got SQLite" in refusal("hosts", "token", *state)
    database = {"SLIPSTREAM_DATABASE_URL": site.variables["SLIPSTREAM_DATABASE_URL"]}
    assert "SLIPSTREAM_BROKER_URL" in refusal("hosts", "token", *state, **database)
    assert "there is no pepper" in refusal("hosts", "token", *state, **site.variables)
    file = tmp_path / "slipstream.token"
    file.touch(mode=0o644)
    made = subprocess.run(
        [sys.executable, "-m", "slipstream", "hosts", "token", "--output", str(file), *state],
        env={
            **environment(),
            **site.variables,
            "SLIPSTREAM_KEY_PEPPER": "p" * 40,
            "AWS_ACCESS_KEY_ID": "ada",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "set SLIPSTREAM_INFERENCE_TCP" in made.stderr
    assert "Not in the token, set them there: AWS_ACCESS_KEY_ID" in made.stderr
    assert made.stdout == f"The token is in {file}, which only you can read.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token = file.read_text().strip()
    assert "slipstream hosts token" in refusal("join", token[:-9], *state)
    assert "SLIPSTREAM_INFERENCE_TCP" in refusal("join", token, *state)
    assert "chmod" not in refusal("join", str(file), *state)
    file.chmod(0o640)
    assert f"other users can access it: chmod 600 {file}" in refusal("join", str(file), *state)
    other = {"SLIPSTREAM_BROKER_URL": "redis://elsewhere/0"}
    assert "expected the value in the token" in refusal("join", token, *state, **other)


@pytest.mark.long
def test_replicas_of_several_hosts_sleep_and_wake_together(site: Site) -> None:
    first = site.up("first")
    path, key = demo_call(first)
    second = site.join("second", site.command(first, "hosts", "token").strip())
    (a, b) = [host["id"] for host in site.hosts(first)]
    site.command(first, "models", "serve", "iris", "--replicas", "2", "--idle-timeout", "4")
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))
    time.sleep(1)  # the gateways connect; a replica without a call waits longer for its first one
    for host in (first, second) * 4:
        assert httpx.post(f"{host.url}{path}", json=CALL, headers=key).status_code == 200
    eventually(lambda: places(site), lambda found: Counter(found) == {(None, "stopped"): 2})
    woken = httpx.post(f"{second.url}{path}", json=CALL, headers=key)
    assert (woken.status_code, woken.json()["code"]) == (503, "inference_server_booting")
    eventually(lambda: places(site), lambda found: ready_on(found, a, b))
    for host in (first, second):
        assert httpx.post(f"{host.url}{path}", json=CALL, headers=key).status_code == 200
        host.stop()


@pytest.mark.long
def test_a_server_runs_on_the_host_with_its_labels(site: Site) -> None:
    first = site.up("first")
    path, key = demo_call(first)
    token = site.command(first, "hosts", "token").strip()
    second = site.join("second", token, "--labels", "accelerator=gpu,zone=b")
    (a, b) = site.hosts(first)
    assert b["labels"] == {"accelerator": "gpu", "zone": "b", "host": a["labels"]["host"]}
    assert a["memory_bytes"] > 1 << 30
    assert ready_on(places(site), a["id"])
    site.command(first, "models", "serve", "iris", "--on", "accelerator=gpu")
    eventually(lambda: places(site), lambda found: ready_on(found, b["id"]))

    def call() -> int:
        return httpx.post(f"{first.url}{path}", json=CALL, headers=key).status_code

    eventually(call, lambda status: status == 200)  # once its gateway has connected
    assert "accelerator=gpu,host=" in site.command(first, "hosts", "list")
    for host in (first, second):
        host.stop()
