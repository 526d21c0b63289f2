"""Which state folder a command acts on, and what it does where there is none.

A folder that is named is that one. Without a name it is `.slipstream` here or, where there is none,
that of the `slipstream up` which this user runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import StrEnum, auto
from pathlib import Path

import psutil

from slipstream.failures import UnusableError
from slipstream.options import DEFAULT_STATE
from slipstream.supervisor.running_supervisor import lock_file, running_supervisor
from slipstream.terminal import Terminal
from slipstream.workspace import read_settings


class Absent(StrEnum):
    """What a command does where there is no installation."""

    REFUSE = auto()
    """It reads or changes what is there, and nothing is."""
    CREATE = auto()
    """It makes the first of something, before the first start."""
    TEMPORARY = auto()
    """It needs no rows, as a check of a flow in a file: an empty folder does, for as long."""


def locate(state: Path, absent: Absent) -> Path | None:
    """Return the state folder for a command that was given `state`; None for a temporary one.

    Raises:
        UnusableError: there is none, or several of this user's installations run.
    """
    if state.exists() or read_settings(state=state).database_url:
        return state
    looked = f"{state.absolute()} does not exist"
    if state == DEFAULT_STATE:
        found = sorted(running_states())
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(map(str, found))
            message = f"{looked}, and several installations of yours run, in {listed}"
            raise UnusableError(f"{message}: choose one with --state")
        looked += ", and no `slipstream up` of yours runs"
    if absent is Absent.TEMPORARY:
        return None
    if absent is Absent.CREATE:
        return state
    raise UnusableError(
        f"there is no installation: {looked}. Start one with `slipstream up`, or name its folder "
        "with --state or SLIPSTREAM_STATE"
    )


def locate_existing(state: Path, terminal: Terminal) -> Path:
    """Return the state folder for a command that was given `state`; say if it is another one.

    Raises:
        UnusableError: there is none, or several of this user's installations run.
    """
    located = locate(state, Absent.REFUSE)
    assert located is not None, "only for TEMPORARY"
    say_where(located, state, terminal)
    return located


def say_where(located: Path, state: Path, terminal: Terminal) -> None:
    """Print a note where another folder than the one that was given is used."""
    if located != state:
        terminal.note(f"Uses the installation that runs in {located}; --state names another")


def running_states() -> Iterator[Path]:
    """Yield the state folder of each `slipstream up` that this user runs and that is seen here."""
    own = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.uids().real != own or not _may_be_up(process.cmdline()):
                continue
            opened = [Path(file.path) for file in process.open_files()]
        except psutil.Error:
            continue
        for path in opened:
            state = path.parent.parent
            if path == lock_file(state) and running_supervisor(state) is not None:
                yield state


def _may_be_up(command: list[str]) -> bool:
    return "up" in command and any("slipstream" in word for word in command)
