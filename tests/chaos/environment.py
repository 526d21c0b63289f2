"""All that can be killed or stopped: `slipstream up`, its processes, PostgreSQL and Redis."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from tests.services.counter import CountingServer
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.slipstream.running import Up, free_port

GATEWAYS = 2


class ChaosEnvironment:
    """An installation with a private PostgreSQL and Redis.

    Attributes:
        counter: counts the requests that flows made.
        database_url: the URL of the database.
    """

    def __init__(self, folder: Path) -> None:
        """Start the servers, then `up`."""
        self.counter = CountingServer()
        self._folder = folder
        self._redis = RedisServer(folder)
        self._postgres = PostgresServer()
        self._port, self._grpc_port = free_port(), free_port()
        self._redis.start()
        self._postgres.start()
        self.database_url = self._postgres.create("chaos")
        self.up = self._start()
        self.up.until("documentation")

    @property
    def url(self) -> str:
        """The base URL of REST."""
        return f"http://127.0.0.1:{self._port}"

    def restart_if_ended(self) -> bool:
        """Start `up` again if it has ended; return whether it had."""
        if self.up.process.poll() is None:
            return False
        self.up = self._start()
        return True

    def stop(self) -> None:
        """Stop everything."""
        for process in self._children():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.up.process.kill()
        self.up.process.wait()
        self._redis.stop()
        self._postgres.remove()
        self.counter.close()

    def kill_supervisor(self, _random: Random) -> str:
        """Kill `up`; its children end with it. The next check restarts it."""
        pid = self.up.process.pid
        self.up.process.kill()
        self.up.process.wait()
        return f"process {pid}"

    def kill_gateway(self, random: Random) -> str | None:
        """Kill one gateway process."""
        return _kill_one(self._children("--listen-fd"), random)

    def kill_worker_parent(self, random: Random) -> str | None:
        """Kill the parent process of a worker."""
        return _kill_one(self._workers(parents=True), random)

    def kill_worker_child(self, random: Random) -> str | None:
        """Kill one process that runs flows."""
        return _kill_one(self._workers(parents=False), random)

    def kill_inference_server(self, random: Random) -> str | None:
        """Kill one inference server."""
        return _kill_one(self._children("inference_server"), random)

    def stop_gateway(self, random: Random) -> str | None:
        """Stop one gateway process by SIGSTOP: it keeps its connections and answers nothing."""
        return _stop_one(self._children("--listen-fd"), random)

    def stop_worker_parent(self, random: Random) -> str | None:
        """Stop the parent process of a worker by SIGSTOP."""
        return _stop_one(self._workers(parents=True), random)

    def stop_worker_child(self, random: Random) -> str | None:
        """Stop one process that runs flows by SIGSTOP."""
        return _stop_one(self._workers(parents=False), random)

    def stop_inference_server(self, random: Random) -> str | None:
        """Stop one inference server by SIGSTOP."""
        return _stop_one(self._children("inference_server"), random)

    def kill_broker(self, _random: Random) -> str:
        """Kill Redis, which loses its data, and start it again."""
        self._redis.restart()
        return "all its data is lost"

    def restart_postgres(self, random: Random) -> str:
        """Restart PostgreSQL with a fast or an immediate shutdown."""
        how = random.choice([signal.SIGINT, signal.SIGQUIT])
        self._postgres.restart(how)
        return "fast shutdown" if how == signal.SIGINT else "immediate shutdown"

    def _start(self) -> Up:
        return Up(
            self._folder / "state",
            *("--workers", str(GATEWAYS)),
            port=self._port,
            grpc_port=self._grpc_port,
            SLIPSTREAM_DATABASE_URL=self.database_url,
            SLIPSTREAM_BROKER_URL=self._redis.url,
            SLIPSTREAM_WEBHOOK_ALLOW="127.0.0.0/8",
            SLIPSTREAM_WEBHOOK_ALLOW_HTTP="1",
        )

    def _children(self, word: str = "") -> list[psutil.Process]:
        """Return the children with a word in their command line; some may be ending."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.up.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if word in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def _workers(self, *, parents: bool) -> list[psutil.Process]:
        found = self._children("gateway.worker")
        pids = {process.pid for process in found}
        kept = []
        for process in found:
            with suppress(psutil.NoSuchProcess):
                if (process.ppid() not in pids) is parents:
                    kept.append(process)
        return kept


Fault = Callable[[ChaosEnvironment, Random], str | None]
"""Returns a description of what was hit; None if there was no such process."""

FAULTS: dict[str, Fault] = {
    "worker child": ChaosEnvironment.kill_worker_child,
    "worker parent": ChaosEnvironment.kill_worker_parent,
    "gateway": ChaosEnvironment.kill_gateway,
    "inference server": ChaosEnvironment.kill_inference_server,
    "worker child, stopped": ChaosEnvironment.stop_worker_child,
    "worker parent, stopped": ChaosEnvironment.stop_worker_parent,
    "gateway, stopped": ChaosEnvironment.stop_gateway,
    "inference server, stopped": ChaosEnvironment.stop_inference_server,
    "broker": ChaosEnvironment.kill_broker,
    "PostgreSQL": ChaosEnvironment.restart_postgres,
    "supervisor": ChaosEnvironment.kill_supervisor,
}


def _kill_one(processes: Iterable[psutil.Process], random: Random) -> str | None:
    return _hit_one(processes, random, psutil.Process.kill)


def _stop_one(processes: Iterable[psutil.Process], random: Random) -> str | None:
    return _hit_one(processes, random, psutil.Process.suspend)


def _hit_one(
    processes: Iterable[psutil.Process], random: Random, hit: Callable[[psutil.Process], None]
) -> str | None:
    """Kill or stop one of the processes at random; return which."""
    candidates = list(processes)
    random.shuffle(candidates)
    for process in candidates:
        with suppress(psutil.NoSuchProcess):
            hit(process)
            return f"process {process.pid}"
    return None
