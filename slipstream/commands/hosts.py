"""`slipstream hosts`: the machines of an installation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from gateway.errors import GatewayError
from gateway.fleet.host_schemas import HostList, HostOut, ProcessList, ProcessOut
from gateway.fleet.hosts import HostStore
from gateway.fleet.labels import format_labels
from gateway.fleet.processes import ProcessStore
from gateway.settings import SECRETS
from protos.errors import ErrorCode
from slipstream import options
from slipstream.commands.host_drain import drain, find_host
from slipstream.commands.tables import Columns, model_list
from slipstream.failures import exit_on_error
from slipstream.installation import environment_of, find_installation
from slipstream.join_token import JoinToken, names_file
from slipstream.session import open_session
from slipstream.settings import (
    PREFIX,
    installation_variables,
    is_vendor_variable,
    own_environment,
)
from slipstream.state_location import locate_existing
from slipstream.terminal import Terminal

commands = typer.Typer(no_args_is_help=True)

_READ = {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
"""Variables that name files which the token contains."""
_NO_ADDRESS = (
    "other machines do not reach the inference servers of this one: set SLIPSTREAM_INFERENCE_TCP "
    "to its address, such as 10.0.0.5:0, and reload"
)


HostName = Annotated[str, typer.Argument(help="Name of the host, or its id.", metavar="NAME")]

_GIBIBYTE = 1 << 30


class JoinTokenOut(BaseModel):
    """A join token."""

    token: str
    left_out: list[str]
    """Variables with files of this machine, or credentials of a bucket in the form of its vendor,
    which are not in the token."""


class JoinTokenFile(BaseModel):
    """A file with a join token."""

    file: str
    """Its path."""
    left_out: list[str]
    """As of JoinTokenOut."""


def _memory(host: HostOut) -> str:
    """Return how much of its memory is used."""
    used = f"{host.used_memory_bytes / _GIBIBYTE:.1f}"
    if host.memory_bytes is None:
        return f"{used} GiB"
    return f"{used} of {host.memory_bytes / _GIBIBYTE:.1f} GiB"


COLUMNS: Columns[HostOut] = {
    "name": "name",
    "state": lambda host: host.state if host.cordoned_at is None else f"{host.state}, cordoned",
    "version": "version",
    "replicas": "replicas",
    "memory": _memory,
    "since": "created_at",
    "joined": lambda host: "yes" if host.joined else "",
    "labels": lambda host: format_labels(host.labels),
}


PROCESS_COLUMNS: Columns[ProcessOut] = {
    "kind": "kind",
    "name": "name",
    "state": "state",
    "host": "host",
    "since": "started_at",
    "version": "version",
    "reason": "reason",
    "runs at a time": "concurrency",
    "address": "address",
}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_hosts(
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the machines that run inference servers, oldest first."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        found = HostList.of(session.run(HostStore(session.workspace.db).all()))
        none = "No `slipstream up` has run on this database."
        session.terminal.show(found, model_list(found.items, COLUMNS, empty=none))


@commands.command("processes")
def list_processes(
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the gateways and workers of all machines, and how they are."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        found = ProcessList.of(session.run(ProcessStore(session.workspace.db).all()))
        none = "No gateway and no worker of this database has announced itself."
        session.terminal.show(found, model_list(found.items, PROCESS_COLUMNS, empty=none))


@commands.command("drain")
def drain_host(
    name: HostName,
    *,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until everything has moved.")
    ] = 600.0,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Move all inference servers away from a host, so that it can be stopped.

    It takes none until `slipstream hosts uncordon`, also after a restart. Each replica runs on
    another host before the one here ends, so no call fails. The exit status is 1 if some are left.
    """
    with open_session(state, as_json=as_json) as session:
        hosts = HostStore(session.workspace.db)
        host_id = find_host(session.run(hosts.all()), name).row.id
        session.run(hosts.cordon(host_id))
        session.terminal.note(f"{name} is cordoned: `slipstream hosts uncordon {name}` ends that")
        drain(session, host_id, timeout=timeout)
        drained = HostOut.of(find_host(session.run(hosts.all()), host_id))
        session.terminal.show(drained, f"{name} runs no inference server: it may be stopped.")


@commands.command("uncordon")
def uncordon_host(
    name: HostName,
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Have a host take inference servers again, after `slipstream hosts drain`."""
    with open_session(state, as_json=as_json) as session:
        hosts = HostStore(session.workspace.db)
        host_id = find_host(session.run(hosts.all()), name).row.id
        session.run(hosts.uncordon(host_id))
        found = HostOut.of(find_host(session.run(hosts.all()), host_id))
        session.terminal.show(found, f"{name} takes inference servers again.")


@commands.command("token")
def show_token(
    *,
    output: Annotated[
        Path | None,
        typer.Option(help="File to write, which only you can read; default: stdout."),
    ] = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Print the token with which further machines join. It is a secret: it contains all others.

    $ slipstream hosts token --output slipstream.token
    $ slipstream hosts token | ssh gpu-1 "umask 077; cat > slipstream.token"
    $ ssh gpu-1 SLIPSTREAM_INFERENCE_TCP=10.0.0.6:0 slipstream join slipstream.token
    """
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        installation = find_installation(locate_existing(state, terminal))
        installation.check()
        running = installation.running
        own = own_environment() if running is None else environment_of(running)
        tokens = own.get("SLIPSTREAM_UPSTREAM_TOKEN_FILE")
        variables = installation.variables or installation_variables()
        token = JoinToken.of(installation.settings, variables, Path(tokens) if tokens else None)
        vendors = filter(is_vendor_variable, own) if installation.settings.model_store else ()
        left_out = sorted({*filter(names_file, variables), *vendors} - _READ)
        if left_out:
            terminal.note(f"Not in the token, set them there: {', '.join(left_out)}")
        if "SLIPSTREAM_INFERENCE_TCP" not in own:
            terminal.warn([_NO_ADDRESS])
        found = JoinTokenOut(token=token.encode(), left_out=left_out)
        if output is None:
            terminal.show(found, found.token)
            return
        _write_secret(output, found.token)
        written = JoinTokenFile(file=str(output.absolute()), left_out=left_out)
        terminal.show(written, f"The token is in {written.file}, which only you can read.")


def _write_secret(path: Path, text: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)  # it may have been there
            file.write(f"{text}\n")
    except OSError as error:
        message = f"--output: cannot write {path}: {error.strerror}"
        raise GatewayError(ErrorCode.VALIDATION_FAILED, message) from error
