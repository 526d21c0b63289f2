from __future__ import annotations

import subprocess
import threading

import pytest

from tests import leftovers
from tests.leftovers import Leftovers


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_PATIENCE_SECONDS", 0.0)


@pytest.mark.processes
def test_a_process_is_named_by_its_command_and_a_zombie_by_its_name() -> None:
    before = Leftovers.find()
    with subprocess.Popen(["sleep", "600"]) as process:
        alive = [f"process {process.pid}: sleep 600"]
        try:
            while before.left_now() != alive:
                pass
        finally:
            process.kill()
        while before.left_now() == alive:
            pass
        assert before.left_now() == [f"process {process.pid}: a zombie, 'sleep'"]
    assert before.left_now() == []


@pytest.mark.parametrize("daemon", [False, True])
def test_a_thread_is_named_unless_it_is_a_daemon(daemon: bool) -> None:
    before = Leftovers.find()
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="a thread", daemon=daemon)
    thread.start()
    try:
        assert before.left_now() == ([] if daemon else ["thread 'a thread'"])
    finally:
        over.set()
        thread.join()


def test_what_was_there_before_or_is_just_ending_is_no_leftover(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    over = threading.Event()
    earlier, ending = (threading.Thread(target=over.wait) for _ in range(2))
    earlier.start()
    before = Leftovers.find()
    ending.start()
    threading.Timer(0.05, over.set).start()
    assert before.left_now() == []
    earlier.join()
