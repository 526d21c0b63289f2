"""Three hosts of one installation, and the machines of the database, the broker and the store."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from tests.fleet.network import Network, NetworkMachine
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.s3 import S3Server
from tests.slipstream.running import Up, environment
from tests.timing import TIMEOUT_SECONDS

HOSTS = ("one", "two", "three")
TOKEN = "a-token-of-32-characters-or-more"
ROOT = Path(__file__).parents[2]
_SLIPSTREAM = (sys.executable, "-m", "slipstream")
_PORT, _GRPC_PORT = 8080, 9090
_FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


class FleetHost:
    """A machine with a state folder, a clock and, most of the time, `slipstream`.

    Attributes:
        machine: its network.
        up: the process, the last one.
        clock_seconds: how far its clock is ahead.
    """

    def __init__(
        self, machine: NetworkMachine, folder: Path, settings: dict[str, str], release: str | None
    ) -> None:
        """`release` is the revision that it runs until it is upgraded; None: this one."""
        self.machine = machine
        self.clock_seconds = 0
        self._code = (
            None if release is None else _checkout(folder / f"{machine.name}-code", release)
        )
        self._state = folder / machine.name
        self._clock = folder / f"{machine.name}.clock"
        self._settings = settings
        self._logs: list[str] = []
        self.up: Up | None = None
        self.set_clock(0)

    @property
    def name(self) -> str:
        """Of the machine."""
        return self.machine.name

    @property
    def url(self) -> str:
        """Where REST is, from outside."""
        return f"http://{self.machine.address}:{_PORT}"

    @property
    def runs(self) -> bool:
        """Whether `slipstream` runs."""
        return self.up is not None and self.up.process.poll() is None

    def set_clock(self, seconds: int) -> None:
        """Move the clock ahead, or back, of that of this machine; no process is told."""
        self.clock_seconds = seconds
        self._clock.write_text(f"{seconds:+d}s")

    def start(self, *command: str) -> None:
        """Start `slipstream up`, or another command, and wait until it is ready."""
        if self.up is not None:
            self._logs.append(self.up.errors)
        self.up = Up(
            self._state,
            *("--host", "0.0.0.0", "--insecure", "--workers", "1"),
            port=_PORT,
            grpc_port=_GRPC_PORT,
            code=self._code,
            command=command or ("up",),
            machine=self.machine,
            SLIPSTREAM_DRAIN_DELAY_SECONDS="5",
            SLIPSTREAM_INFERENCE_TCP="0.0.0.0:0",
            SLIPSTREAM_INFERENCE_ADVERTISE=self.machine.address,
            LD_PRELOAD=str(_FAKETIME),
            FAKETIME_TIMESTAMP_FILE=str(self._clock),
            FAKETIME_CACHE_DURATION="1",
            FAKETIME_DONT_FAKE_MONOTONIC="1",
            DONT_FAKE_MONOTONIC="1",
            **self._settings,
        )
        self.up.until("documentation")

    def processes(self, kind: str) -> list[psutil.Process]:
        """Return the processes of a kind: `gateway`, `worker`, `server`, `fork server`."""
        if self.up is None or not self.runs:
            return []
        with suppress(psutil.NoSuchProcess):
            match kind:
                case "gateway":
                    return self.up.gateways()
                case "server":
                    return self.up.servers()
                case "fork server":
                    return self.up.fork_servers()
                case _:
                    return self.up.children("gateway.worker")
        return []

    def stop(self) -> None:
        """End it as systemd does."""
        assert self.up is not None
        self.up.process.terminate()
        assert self.up.process.wait(TIMEOUT_SECONDS) == 0, self.up.errors

    def reload(self) -> None:
        """`slipstream reload`, on the host."""
        self.command("reload")

    def upgrade(self) -> None:
        """Replace the code by that of the last commit here, as `git pull` does, and reload."""
        assert self._code is not None
        _git("checkout", "--quiet", _git("rev-parse", "HEAD", at=ROOT), at=self._code)
        self.reload()

    def command(self, *words: str) -> str:
        """Run a command on the host; return its output."""
        done = subprocess.run(
            [*self.machine.prefix, *_SLIPSTREAM, *words, "--state", str(self._state)],
            cwd=self._code,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def log(self) -> str:
        """Return what all processes have logged."""
        return "".join([*self._logs, self.up.errors if self.up else ""])


class Bed:
    """The hosts, and what they share.

    Attributes:
        hosts: the first is `up`, the others have joined.
        postgres, redis, s3: the servers that they share.
        outside: the address of this machine, as the hosts see it.
        store: the machine of the bucket.
        pod: the machine of an inference server that registers itself.
        database_url: of the database.
        spreads: whether the hosts spread replicas, which an older release did not.
    """

    def __init__(self, network: Network, folder: Path, release: str | None = None) -> None:
        """Hosts run the revision `release` until they are upgraded; None: this one."""
        assert _FAKETIME is not None, "install the Debian package libfaketime"
        self.outside = network.outside
        self.spreads = release is None
        services, self.store = network.add("services"), network.add("store")
        self.pod = network.add("pod")
        self._folder = folder
        self.postgres = PostgresServer(None, services)
        self.redis = RedisServer(folder, services)
        self.s3 = S3Server(folder, self.store)
        tokens, options = folder / "tokens", folder / "bucket-options"
        tokens.write_text(f"{TOKEN}\n")
        options.write_text("\n".join(f"{name}={text}" for name, text in self.s3.options.items()))
        self._tokens, self._options = tokens, options
        self._server: subprocess.Popen[bytes] | None = None
        self.database_url = self.postgres.url("fleet")
        self._shared = {
            "SLIPSTREAM_DATABASE_URL": self.database_url,
            "SLIPSTREAM_BROKER_URL": self.redis.url,
            "SLIPSTREAM_MODEL_STORE": "s3://models/fleet",
            "SLIPSTREAM_MODEL_STORE_OPTIONS_FILE": str(options),
            "SLIPSTREAM_INFERENCE_TOKEN_FILE": str(tokens),
            "SLIPSTREAM_UPSTREAM_TOKEN_FILE": str(tokens),
            "SLIPSTREAM_WEBHOOK_ALLOW": "10.0.0.0/8",
            "SLIPSTREAM_WEBHOOK_ALLOW_HTTP": "1",
        }
        first, *others = HOSTS
        self.hosts = [FleetHost(network.add(first), folder, self._shared, release)]
        self.hosts += [FleetHost(network.add(name), folder, {}, release) for name in others]

    def start_first(self) -> None:
        """Start what the hosts share, and the first host, and wait until it is ready."""
        for server in (self.postgres, self.redis, self.s3):
            server.start()
        self.postgres.create("fleet")
        self.hosts[0].start()
        self._token = self.hosts[0].command("hosts", "token").strip()

    def start_others(self) -> None:
        """Start the other hosts, one after the other: nothing is left for them to claim."""
        for host in self.hosts[1:]:
            host.start("join", self._token)

    def start(self, host: FleetHost) -> None:
        """Start a host that has ended."""
        host.start(*(() if host is self.hosts[0] else ("join", self._token)))

    def start_server(self) -> None:
        """Start an inference server on the pod, which registers itself."""
        if self._server is not None:
            self._server.wait()
        key = self._folder / "serve-key"
        if not key.exists():
            made = self.hosts[0].command("keys", "create", "--name", "pod", "--serve", "--json")
            key.write_text(json.loads(made)["key"])
        words = {
            "--model": "iris",
            "--version": "1",
            "--store": self._shared["SLIPSTREAM_MODEL_STORE"],
            "--store-options-file": str(self._options),
            "--cache": str(self._folder / "pod-cache"),
            "--tcp": f"{self.pod.address}:9000",
            "--metrics": f"{self.pod.address}:9001",
            "--token-file": str(self._tokens),
            "--register": ",".join(host.url for host in self.hosts),
            "--register-key-file": str(key),
        }
        arguments = [each for pair in words.items() for each in pair]
        with (self._folder / "pod.log").open("ab") as log:
            self._server = subprocess.Popen(
                [*self.pod.prefix, *_SLIPSTREAM, "inference-server", *arguments],
                stderr=log,
                env=environment(),
            )

    def close(self) -> None:
        """End the servers; the network ends what runs on the hosts."""
        for host in self.hosts:
            host.machine.kill()
            if host.up is not None:
                host.up.process.wait()
        self.pod.kill()
        if self._server is not None:
            self._server.wait()
        self.postgres.remove()
        self.redis.stop()
        self.s3.stop()


def _checkout(folder: Path, revision: str) -> Path:
    """Return a checkout of a revision."""
    _git("clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder), at=ROOT)
    _git("checkout", "--quiet", revision, at=folder)
    return folder


def _git(*words: str, at: Path) -> str:
    done = subprocess.run(["git", *words], cwd=at, capture_output=True, text=True, check=True)
    return done.stdout.strip()
