"""`slipstream reload`: new code, options or settings for the installation that runs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from slipstream import options
from slipstream.failures import RefusedError, UnusableError, exit_on_error
from slipstream.settings import PREFIX
from slipstream.state_location import locate_existing
from slipstream.supervisor.reload_files import (
    ReloadFiles,
    ReloadRequest,
    ReloadState,
    ReloadStatus,
)
from slipstream.supervisor.running_supervisor import RunningSupervisor, running_supervisor
from slipstream.terminal import Terminal

_MORE = """

The new code reads its options and settings first; if it refuses them, nothing changes. Then the
supervisor replaces itself, and gateways, workers and inference servers are replaced, each
when its successor is ready. The ports stay open, and no call fails. It returns when everything is
replaced, which takes as long as the calls in flight, and at most the drain time.

Options of `slipstream up` after `--` replace all those that it was started with. Host, ports and
state folder cannot change. See docs/restarts.md.

$ slipstream reload
$ slipstream reload --env-file /etc/slipstream.env
$ slipstream reload -- --workers 4 --worker-concurrency 64
"""
_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 10.0
"""Within which the supervisor begins. One that starts takes the request when it is ready."""

EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        metavar="FILE",
        help="Lines NAME=VALUE: they replace all SLIPSTREAM_… variables of the installation.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for the end.")]
UpArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[-- OPTIONS OF UP]", help="New options of `up`.")
]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the command."""
    application.command(noun, help=text + _MORE)(reload)


def reload(
    *,
    up_options: UpArguments = None,
    env_file: EnvFile = None,
    timeout: Timeout = 600.0,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Ask the supervisor to reload, and wait for the end."""
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        folder = locate_existing(state, terminal).absolute()
        running = running_supervisor(folder)
        if running is None:
            raise UnusableError(f"nothing runs on the state folder {folder}: start `slipstream up`")
        request = ReloadRequest(
            environment=None if env_file is None else _read(env_file),
            arguments=None if up_options is None else _with_state(up_options, folder, running),
        )
        files = ReloadFiles(folder / "run")
        files.request(request)
        os.kill(running.pid, signal.SIGHUP)
        with terminal.progress("Replacing the processes"):
            status = _wait(files, request.id, folder, timeout)
        if status.state is ReloadState.FAILED:
            raise RefusedError("reload_failed", f"not reloaded: {status.message}")
        terminal.show({"reloaded": True, "pid": running.pid}, "reloaded")


def _wait(files: ReloadFiles, request_id: str, folder: Path, timeout: float) -> ReloadStatus:
    began = time.monotonic()
    while True:
        status = files.status()
        if status is not None and status.id == request_id:
            if status.state in (ReloadState.DONE, ReloadState.FAILED):
                return status
            state = status.state.value
        else:
            state = "waiting for the supervisor"
        waited = time.monotonic() - began
        if running_supervisor(folder) is None:
            raise UnusableError("the supervisor has ended: see its output")
        if waited > timeout:
            message = f"the reload has not ended after {timeout:g} s ({state}): see its output"
            raise UnusableError(message)
        time.sleep(_POLL_SECONDS)


def _read(file: Path) -> dict[str, str]:
    """Return the SLIPSTREAM_… variables of a file as systemd reads it.

    Raises:
        UnusableError: it cannot be read, or a line is not NAME=VALUE.
    """
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableError(f"--env-file {file}: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not (text := line.strip()) or text[0] in "#;":
            continue
        name, equals, value = text.removeprefix("export ").partition("=")
        if not equals:
            raise UnusableError(f"--env-file {file}, line {number}: expected NAME=VALUE")
        if name.strip().startswith(PREFIX):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def _with_state(up_options: list[str], folder: Path, running: RunningSupervisor) -> list[str]:
    """Return the options with what cannot change, so that it need not be repeated."""
    where = ["--state", str(folder), "--host", running.host, "--port", str(running.port)]
    return [*where, "--grpc-port", str(running.grpc_port), *up_options]
