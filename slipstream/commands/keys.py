"""`slipstream keys`: API keys, shown once when they are made."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.auth.identity import Scope
from gateway.auth.schemas import IssuedKeyOut, KeyOut, KeyPage, NewKey
from slipstream import options
from slipstream.limit_options import AtOnce, PerDay, PerMinute, Polls, limits_of
from slipstream.session import checked, open_session
from slipstream.terminal import table

commands = typer.Typer(no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="Id of the key.", metavar="ID")]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="What to call it in lists.")],
    manage: Annotated[
        bool, typer.Option("--manage", help="Let it change things, not only call deployments.")
    ] = False,
    deployment: Annotated[
        list[str] | None,
        typer.Option(help="Id of a deployment that it may call; can be repeated. Default: all."),
    ] = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: AtOnce = None,
    polls_per_minute: Polls = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it, for the only time.

    [dim]slipstream keys create --name laptop[/]
    [dim]slipstream keys create --name ci --manage --json | jq -r .key[/]
    """
    with open_session(state, as_json=as_json) as session:
        scope = Scope.MANAGE if manage else Scope.TRIGGER
        limits = limits_of(
            calls_per_minute=calls_per_minute,
            calls_per_day=calls_per_day,
            concurrent_runs=concurrent_runs,
            polls_per_minute=polls_per_minute,
        )
        new = checked(NewKey, name=name, scope=scope, deployments=deployment or None, limits=limits)
        issued = session.run(
            session.services.keys.create(
                session.profile_id,
                name=new.name,
                scope=new.scope,
                deployments=new.deployments,
                limits=new.limits.stored() if new.limits else None,
            )
        )
        session.terminal.show(IssuedKeyOut.of_issued(issued), issued.plain)
        session.terminal.note(f"Key '{new.name}' {issued.row.id}: it is not shown again.")


@commands.command("list")
def list_keys(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the keys, newest first."""
    with open_session(state, as_json=as_json) as session:
        keys = session.services.keys
        page = KeyPage.of(session.everything(lambda at: keys.page(session.profile_id, at)))
        columns = ("id", "name", "key", "good for", "last used")
        rows = [
            (key.id, key.name, key.masked, _good_for(key), key.last_used_at) for key in page.items
        ]
        none = "There are no keys: make one with `slipstream keys create --name NAME`."
        session.terminal.show(page, table(columns, rows, empty=none))


@commands.command("deactivate")
def deactivate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Make a key answer 401 until it is activated again."""
    with open_session(state, as_json=as_json) as session:
        key = session.run(session.services.keys.deactivate(session.profile_id, key_id))
        session.terminal.show(KeyOut.of(key), f"Key '{key.name}' is deactivated.")


@commands.command("activate")
def activate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Make a deactivated key work again."""
    with open_session(state, as_json=as_json) as session:
        key = session.run(session.services.keys.activate(session.profile_id, key_id))
        session.terminal.show(KeyOut.of(key), f"Key '{key.name}' is active.")


@commands.command("delete")
def delete(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Remove a key for good."""
    with open_session(state, as_json=as_json) as session:
        session.run(session.services.keys.delete(session.profile_id, key_id))
        session.terminal.show({"id": key_id, "deleted": True}, f"Key {key_id} is deleted.")


def _good_for(key: KeyOut) -> str:
    if key.state != "active":
        return f"nothing: {key.state}"
    if key.deployments is not None:
        return f"{len(key.deployments)} deployments"
    return "everything" if key.scope is Scope.MANAGE else "all deployments"
