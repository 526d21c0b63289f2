"""The names of lease owners, for processes that live, stand still, have ended and are elsewhere."""

from __future__ import annotations

import os
import re
import signal

import pytest

from gateway.execution.lease_owner import has_ended, lease_owner_name
from tests.gateway.execution.holder import Holder


@pytest.mark.processes
def test_a_killed_process_has_ended_even_before_its_parent_has_seen_it(holder: Holder) -> None:
    assert not has_ended(holder.owner)
    holder.process.kill()
    os.waitid(os.P_PID, holder.process.pid, os.WEXITED | os.WNOWAIT)  # a zombie
    assert has_ended(holder.owner)
    holder.process.wait()
    assert has_ended(holder.owner)


@pytest.mark.processes
def test_a_stopped_process_has_not_ended(holder: Holder) -> None:
    holder.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, holder.process.pid, os.WSTOPPED)
    assert not has_ended(holder.owner)


def test_a_process_with_the_same_id_is_told_apart_by_its_start() -> None:
    owner = lease_owner_name("gateway")
    assert not has_ended(owner)
    assert has_ended(re.sub(r"-\d+@", "-1@", owner))


@pytest.mark.processes
@pytest.mark.parametrize("part", [0, 1, 2], ids=["host", "namespace", "boot"])
def test_nothing_is_known_about_processes_elsewhere(part: int, holder: Holder) -> None:
    holder.kill()
    assert has_ended(holder.owner)
    process, _, place = holder.owner.partition("@")
    parts = place.split("/")
    parts[part] = "another"
    assert not has_ended(f"{process}@{'/'.join(parts)}")


@pytest.mark.parametrize("owner", ["", "worker-host-1", "worker-1@host", "worker-x-y@host/1/2"])
def test_nothing_is_known_about_names_of_another_form(owner: str) -> None:
    assert not has_ended(owner)
