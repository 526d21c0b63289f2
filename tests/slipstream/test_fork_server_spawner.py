"""Inference servers from a fork server, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from slipstream.supervisor.fork_server import ForkServer
from slipstream.supervisor.fork_server_spawner import ForkServerSpawner
from slipstream.supervisor.process import Lifeline
from tests.slipstream.server_group import ServerGroup, serve_group, status_printer

pytestmark = pytest.mark.skipif(not ForkServer.SUPPORTED, reason="this system has no fork server")


def spawner(*, forks: bool = True) -> ForkServerSpawner:
    lifeline = Lifeline()
    return ForkServerSpawner(
        lifeline,
        status_printer(),
        running=ForkServer.start(lifeline) if forks else None,
        count_exit=lambda _: None,
    )


@asynccontextmanager
async def forked_group(store: Path) -> AsyncIterator[ServerGroup]:
    """Yield a group from a fork server; check at the end that the fork server has ended."""
    async with serve_group(store, spawner()) as running:
        yield running
    assert not fork_servers()


def fork_servers() -> list[psutil.Process]:
    """Return those that run: one killed within its fork is a zombie until its parent ends."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name() == "fork server" and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
    return found


def descriptors(pid: int) -> list[str]:
    """Return what a process has open; `socket:[]` instead of `socket:[4711]`.

    The file that names the running call is `.call`, wherever the socket is.
    """
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sorted(re.sub(r"\d+|.+(?=\.call$)", "", str(link.readlink())) for link in links)


async def test_a_forked_server_is_our_child_like_one_started_directly(
    store: Path,
) -> None:
    async with forked_group(store) as forked, serve_group(store, spawner(forks=False)) as direct:
        forked.manager.set_desired({"a": 1, "b": 1})
        direct.manager.set_desired({"c": 1})
        await forked.until_ready("a", "b")
        await direct.until_ready("c")
        servers = [forked.process("a"), forked.process("b"), direct.process("c")]
        assert [server.ppid() for server in servers] == [os.getpid()] * 3
        assert [os.getpgid(server.pid) for server in servers] == [server.pid for server in servers]
        assert [server.name() for server in servers] == ["mlp 1"] * 3
        modules = [server.cmdline()[2] for server in servers]
        assert modules == [*["inference_server.fork_server"] * 2, "inference_server"]
        assert descriptors(servers[1].pid) == descriptors(servers[2].pid)
        assert servers[1].environ() == servers[2].environ()
        assert forked.answers("a", "b")
        (fork_server,) = fork_servers()
        assert fork_server.num_threads() == 1


async def test_the_environment_reaches_a_server(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPSTREAM_INFERENCE_QUEUE_CALLS", "none at all")
    async with forked_group(store) as running:
        running.manager.set_desired({"a": 1})
        await running.events.until(
            lambda entries: "a crashed: exited with status 2" in entries,
        )


async def test_a_killed_fork_server_is_replaced_and_its_servers_go_on(
    store: Path,
) -> None:
    async with forked_group(store) as running:
        running.manager.set_desired({"a": 1, "b": 1})
        await running.until_ready("a", "b")
        (first,) = fork_servers()
        first.kill()
        running.manager.set_desired({"a": 1, "b": 1, "c": 1})
        await running.until_ready("c")
        (second,) = fork_servers()
        assert second.pid != first.pid
        assert running.process("c").cmdline() == second.cmdline()
        assert running.answers("a", "b", "c")

        os.kill(running.manager.pids["a"], signal.SIGKILL)
        await running.until_ready("a", times=2)
        assert "a crashed: was killed by SIGKILL" in running.events.entries
        running.manager.set_desired({"a": 1, "c": 1})
        await running.events.until(lambda entries: "b forgotten" in entries)
        assert "b stopped: exited with status 0" in running.events.entries
        assert running.answers("a", "c")


@pytest.mark.long
async def test_a_fork_server_that_hangs_is_replaced(store: Path) -> None:
    async with forked_group(store) as running:
        running.manager.set_desired({"a": 1})
        await running.until_ready("a")
        (first,) = fork_servers()
        first.suspend()
        running.manager.set_desired({"a": 1, "b": 1})
        await running.until_ready("b")
        assert first not in fork_servers()
        assert running.answers("a")


async def test_a_server_can_be_stopped_before_it_has_started(store: Path) -> None:
    async with forked_group(store) as running:
        running.manager.set_desired({"a": 1})
        await asyncio.sleep(0)
        running.manager.set_desired({})
        await running.events.until(lambda entries: "a forgotten" in entries)


async def test_servers_killed_while_they_are_forked_leave_no_process(store: Path) -> None:
    async with forked_group(store) as running:
        running.manager.set_desired({"a": 1, "b": 1, "c": 1})
        await running.events.until(lambda entries: "a spawned" in entries)
        running.manager.kill()
        running.source.kill()
