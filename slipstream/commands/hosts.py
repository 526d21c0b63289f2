"""`slipstream hosts`: the machines of an installation."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import typer
from pydantic import BaseModel

from gateway.fleet.hosts import HostStore
from gateway.fleet.labels import format_labels
from gateway.settings import SECRETS
from slipstream import options
from slipstream.commands.tables import Columns, model_table
from slipstream.failures import exit_on_error
from slipstream.installation import environment_of, find_installation
from slipstream.join_token import JoinToken, names_file
from slipstream.session import open_session
from slipstream.settings import PREFIX, installation_variables, own_environment
from slipstream.terminal import Terminal

commands = typer.Typer(no_args_is_help=True)

_READ = {f"{PREFIX}{name.upper()}_FILE" for name in SECRETS}
"""Variables that name files which the token contains."""
_NO_ADDRESS = (
    "other machines do not reach the inference servers of this one: set SLIPSTREAM_INFERENCE_TCP "
    "to its address, such as 10.0.0.5:0, and reload"
)


_GIBIBYTE = 1 << 30


class HostOut(BaseModel):
    """A machine whose supervisor runs inference servers."""

    id: str
    name: str
    state: str
    """`alive`, or `gone`: its lease has ended, and others take its replicas."""
    joined: bool
    """Whether it runs `slipstream join`."""
    version: str | None
    labels: dict[str, str]
    """Which inference servers can require."""
    replicas: int
    """Of inference servers."""
    used_memory_bytes: int
    """By these."""
    memory_bytes: int | None
    """What they may use together; null: a host of an older release does not say."""
    created_at: datetime


class HostList(BaseModel):
    """All of them."""

    items: list[HostOut]


class JoinTokenOut(BaseModel):
    """A join token."""

    token: str
    left_out: list[str]
    """Variables with files of this machine, which are not in the token."""


def _memory(host: HostOut) -> str:
    """Return how much of its memory is used."""
    used = f"{host.used_memory_bytes / _GIBIBYTE:.1f}"
    if host.memory_bytes is None:
        return f"{used} GiB"
    return f"{used} of {host.memory_bytes / _GIBIBYTE:.1f} GiB"


COLUMNS: Columns[HostOut] = {
    "name": "name",
    "state": "state",
    "joined": lambda host: "yes" if host.joined else "",
    "version": "version",
    "labels": lambda host: format_labels(host.labels),
    "replicas": "replicas",
    "memory": _memory,
    "since": "created_at",
}


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("list")
def list_hosts(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the machines that run inference servers, oldest first."""
    with open_session(state, as_json=as_json) as session:
        hosts = session.run(HostStore(session.workspace.db).all())
        servers = session.run(session.services.fleet.store.all())
        replicas, used = Counter[str | None](), Counter[str | None]()
        for each in (replica for server in servers for replica in server.replicas):
            replicas[each.host_id] += 1
            used[each.host_id] += each.memory_bytes or 0
        found = HostList(
            items=[
                HostOut(
                    id=host.id,
                    name=host.name,
                    state="alive" if is_alive else "gone",
                    joined=host.joined,
                    version=host.version,
                    labels=host.labels or {},
                    replicas=replicas[host.id],
                    used_memory_bytes=used[host.id],
                    memory_bytes=host.memory_bytes,
                    created_at=host.created_at,
                )
                for host, is_alive in hosts
            ]
        )
        none = "No `slipstream up` has run on this database."
        session.terminal.show(found, model_table(found.items, COLUMNS, empty=none))


@commands.command("token")
def show_token(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Print the token with which further machines join. It is a secret: it contains all others.

    [dim]slipstream hosts token | ssh gpu-1 "cat > slipstream.token"[/]
    [dim]ssh gpu-1 SLIPSTREAM_INFERENCE_TCP=10.0.0.6:0 slipstream join slipstream.token[/]
    """
    with exit_on_error(as_json=as_json):
        terminal = Terminal(as_json=as_json)
        installation = find_installation(state)
        installation.check()
        running = installation.running
        own = own_environment() if running is None else environment_of(running)
        tokens = own.get("SLIPSTREAM_UPSTREAM_TOKEN_FILE")
        variables = installation.variables or installation_variables()
        token = JoinToken.of(installation.settings, variables, Path(tokens) if tokens else None)
        left_out = sorted(set(filter(names_file, variables)) - _READ)
        if left_out:
            terminal.note(f"Not in the token, set them there: {', '.join(left_out)}")
        if "SLIPSTREAM_INFERENCE_TCP" not in own:
            terminal.warn([_NO_ADDRESS])
        found = JoinTokenOut(token=token.encode(), left_out=left_out)
        terminal.show(found, found.token)
