"""What is done to an installation. Each fault returns a description of what was hit, or None."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random

import httpx
import psutil

from tests.chaos.environment import ChaosEnvironment
from tests.chaos.targets import ENDLESS, Hostile
from tests.services.process import Service

Fault = Callable[[ChaosEnvironment, Random], str | None]
"""Returns a description of what was hit; None if there was no such thing."""

HOLD_SECONDS = 8.0
"""How long a server of others is away or stopped: longer than a process may be silent."""
_FULL_SECONDS = 5.0
_HOSTILE_CALLS = 4
_CALL_SECONDS = 3.0


def faults(hostile: Hostile, only: str = "") -> dict[str, Fault]:
    """Return the faults whose names contain `only`; those of callers use `hostile`."""
    found: dict[str, Fault] = {
        "worker": _kill(_workers),
        "gateway": _kill(_gateways),
        "inference server": _kill(_inference_servers),
        "evaluator": _kill(_evaluators),
        "worker, stopped": _stop(_workers),
        "gateway, stopped": _stop(_gateways),
        "inference server, stopped": _stop(_inference_servers),
        "fork server, stopped": _stop(_fork_servers),
        "evaluator, stopped": _stop(_evaluators),
        "supervisor": _kill_supervisor,
        f"supervisor, stopped for {HOLD_SECONDS:g} s": _suspend_supervisor,
        "reload": _reload,
        "broker": _kill_broker,
        f"broker, stopped for {HOLD_SECONDS:g} s": lambda at, _: _suspend(at, at.redis),
        "PostgreSQL": _restart_postgres,
        f"PostgreSQL, stopped for {HOLD_SECONDS:g} s": lambda at, _: _suspend(at, at.postgres),
        f"PostgreSQL, away for {HOLD_SECONDS:g} s": _take_postgres_away,
        f"full disk for {_FULL_SECONDS:g} s": _fill_the_disk,
        "runaway inferences": lambda at, _: _call(at, hostile, hostile.loop, _LOOP),
        "a runaway operator": lambda at, _: _call(at, hostile, hostile.operator, _OPERATOR),
        "hostile expressions": lambda at, _: _call(at, hostile, hostile.expression, _EXPRESSION),
        "hostile expressions in workers": lambda at, _: _call(
            at, hostile, hostile.queued_expression, _EXPRESSION
        ),
    }
    return {name: fault for name, fault in found.items() if only in name}


_LOOP = {"x": [0.5], "trips": ENDLESS}
_OPERATOR = {"n": 200_000}
_EXPRESSION = {"x": 3, "d": -100_000_000}


def _kill(find: Callable[[ChaosEnvironment], list[psutil.Process]]) -> Fault:
    return lambda environment, random: _hit_one(find(environment), random, psutil.Process.kill)


def _stop(find: Callable[[ChaosEnvironment], list[psutil.Process]]) -> Fault:
    """Stop one by SIGSTOP: it keeps its connections and answers nothing. It must be replaced."""
    return lambda environment, random: _hit_one(find(environment), random, psutil.Process.suspend)


def _gateways(environment: ChaosEnvironment) -> list[psutil.Process]:
    return environment.children("--listen-fd")


def _workers(environment: ChaosEnvironment) -> list[psutil.Process]:
    return environment.children("gateway.worker")


def _inference_servers(environment: ChaosEnvironment) -> list[psutil.Process]:
    return environment.up.servers()


def _fork_servers(environment: ChaosEnvironment) -> list[psutil.Process]:
    return environment.up.fork_servers()


def _evaluators(environment: ChaosEnvironment) -> list[psutil.Process]:
    return environment.children("evaluator_process")


def _kill_supervisor(environment: ChaosEnvironment, _random: Random) -> str:
    """Kill `up`; its children end with it. The next check restarts it."""
    pid = environment.up.process.pid
    environment.up.process.kill()
    environment.up.process.wait()
    return f"process {pid}"


def _suspend_supervisor(environment: ChaosEnvironment, _random: Random) -> str:
    """Stop `up` for a while: nothing that works may be taken for silent afterwards."""
    process = psutil.Process(environment.up.process.pid)
    process.suspend()
    time.sleep(HOLD_SECONDS)
    process.resume()
    return f"process {process.pid}"


def _reload(environment: ChaosEnvironment, _random: Random) -> str:
    """Have `up` replace itself and everything; the next faults hit it in the middle of that."""
    pid = environment.up.process.pid
    environment.up.process.send_signal(signal.SIGHUP)
    return f"process {pid}"


def _suspend(environment: ChaosEnvironment, service: Service) -> str:
    """Stop a server for a while: its connections stay open and answer nothing."""
    with environment.outages.held():
        service.suspend()
        time.sleep(HOLD_SECONDS)
        service.resume()
    return "and continued"


def _kill_broker(environment: ChaosEnvironment, _random: Random) -> str:
    """Kill Redis, which loses its data, and start it again."""
    environment.redis.restart()
    return "all its data is lost"


def _restart_postgres(environment: ChaosEnvironment, random: Random) -> str:
    """Restart PostgreSQL with a fast or an immediate shutdown."""
    how = random.choice([signal.SIGINT, signal.SIGQUIT])
    environment.postgres.restart(how)
    return "fast shutdown" if how == signal.SIGINT else "immediate shutdown"


def _take_postgres_away(environment: ChaosEnvironment, _random: Random) -> str:
    with environment.outages.held():
        environment.postgres.end(signal.SIGINT)
        time.sleep(HOLD_SECONDS)
        environment.postgres.start()
    return "and back"


def _fill_the_disk(environment: ChaosEnvironment, _random: Random) -> str:
    """Fill the disk, with PostgreSQL's data and the state folder on it, and empty it again."""
    ballast = environment.disk / "ballast"
    free = psutil.disk_usage(str(environment.disk)).free
    with environment.outages.held():
        with ballast.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, free)
        time.sleep(_FULL_SECONDS)
        ballast.unlink()
        if environment.postgres.is_running:
            return f"{free >> 20} MiB"
        environment.postgres.start()
    return f"{free >> 20} MiB; PostgreSQL ended, and was started again"


def _call(environment: ChaosEnvironment, hostile: Hostile, deployment: str, values: object) -> str:
    """Call a deployment a few times with input that never ends, and hang up half of the calls."""
    with httpx.Client(
        base_url=environment.url, headers={"X-API-Key": hostile.key, "X-Request-Timeout": "2"}
    ) as http:
        outcomes = []
        for number in range(_HOSTILE_CALLS):
            timeout = _CALL_SECONDS if number % 2 else 0.3
            try:
                answer = http.post(
                    f"/node/deployment-trigger/{deployment}/",
                    json={"input_data": values},
                    timeout=timeout,
                )
            except httpx.HTTPError as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append(str(answer.status_code))
    return ", ".join(outcomes)


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
