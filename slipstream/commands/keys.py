"""`slipstream keys`: API keys, shown once when they are made."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from gateway.auth.identity import Scope
from gateway.auth.rotation import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS
from gateway.auth.schemas import IssuedKeyOut, KeyOut, KeyPage, KeyPatch, NewKey, RotationIn
from gateway.storage.clock import now
from slipstream import options
from slipstream.commands.key_check import check
from slipstream.commands.key_views import COLUMNS, key_facts, key_row
from slipstream.options import ConcurrentRuns, PerDay, PerMinute, PollsPerMinute, limits_of
from slipstream.session import open_session, validated
from slipstream.terminal import table

commands = typer.Typer(no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="Id of the key.", metavar="ID")]
Environment = Annotated[
    str | None, typer.Option(help="Where it is used, such as production; only a label.")
]
Days = Annotated[
    int | None,
    typer.Option("--expires-in-days", min=1, max=3650, help="Let it answer 401 after so long."),
]
Deployments = Annotated[
    list[str] | None,
    typer.Option(
        "--deployment", help="Id of a deployment that it may call; can be repeated. Default: all."
    ),
]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


commands.command("check")(check)


@commands.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="What to call it in lists.")],
    manage: Annotated[
        bool, typer.Option("--manage", help="Let it change things, not only call deployments.")
    ] = False,
    deployment: Deployments = None,
    environment: Environment = None,
    expires_in_days: Days = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make a key and print it, for the only time.

    [dim]slipstream keys create --name shop --environment production --deployment 0b9c…[/]
    [dim]slipstream keys create --name ci --manage --expires-in-days 30 --json | jq -r .key[/]
    """
    with open_session(state, as_json=as_json) as session:
        new = validated(
            NewKey,
            name=name,
            scope=Scope.MANAGE if manage else Scope.TRIGGER,
            deployments=deployment or None,
            environment=environment,
            expires_at=now() + timedelta(days=expires_in_days) if expires_in_days else None,
            limits=limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
        )
        work = session.services.keys.create(session.profile_id, **new.columns())
        issued = session.run(work)
        session.terminal.show(IssuedKeyOut.of_issued(issued), issued.plain)
        session.terminal.note(f"Key '{new.name}' {issued.row.id}: it is not shown again.")
        for warning in issued.warnings:
            session.terminal.note(warning.message)


@commands.command("list")
def list_keys(
    *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """List the keys, newest first."""
    with open_session(state, as_json=as_json) as session:
        keys = session.services.keys
        page = KeyPage.of(session.fetch_all(lambda at: keys.page(session.profile_id, at)))
        none = "There are no keys: make one with `slipstream keys create --name NAME`."
        rows = [key_row(key) for key in page.items]
        session.terminal.show(page, table(COLUMNS, rows, empty=none))


@commands.command("show")
def show(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show all that is known of a key, how often it is used and what to warn of; not the key."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.get(session.profile_id, key_id)))
        session.terminal.show(out, key_facts(out))


@commands.command("set")
def set_(
    key_id: KeyId,
    *,
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    environment: Environment = None,
    expires_in_days: Days = None,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help="Take its expiry away.")
    ] = False,
    scope: Annotated[Scope | None, typer.Option(help="What it is good for.")] = None,
    deployment: Deployments = None,
    all_deployments: Annotated[
        bool, typer.Option("--all-deployments", help="Let it call all, later ones included.")
    ] = False,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change a key at once; what is left out stays.

    [dim]slipstream keys set 5d1e… --environment staging --expires-in-days 90[/]
    """
    if expires_in_days and never_expires:
        raise typer.BadParameter("--expires-in-days and --never-expires contradict each other")
    if deployment and all_deployments:
        raise typer.BadParameter("--deployment and --all-deployments contradict each other")
    with open_session(state, as_json=as_json) as session:
        expiry = now() + timedelta(days=expires_in_days) if expires_in_days else None
        given = {
            "name": name,
            "environment": environment,
            "expires_at": expiry,
            "scope": scope,
            "deployments": deployment or None,
            "limits": limits_of(calls_per_minute, calls_per_day, concurrent_runs, polls_per_minute),
        }
        change: dict[str, object] = {word: value for word, value in given.items() if value}
        change |= {"expires_at": None} if never_expires else {}
        change |= {"deployments": None} if all_deployments else {}
        wish = validated(KeyPatch, **change).change()
        work = session.services.keys.change(session.profile_id, key_id, **wish)
        out = KeyOut.of(session.run(work))
        session.terminal.show(out, key_facts(out))


@commands.command("rotate")
def rotate(
    key_id: KeyId,
    *,
    grace_seconds: Annotated[
        int, typer.Option(min=0, max=MAX_GRACE_SECONDS, help="How long the old key works on.")
    ] = DEFAULT_GRACE_SECONDS,
    force: Annotated[
        bool, typer.Option("--force", help="Even where the last rotation is not over.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Make a key that takes another's place, and print it, for the only time.

    [dim]slipstream keys rotate 5d1e… --grace-seconds 3600[/]
    """
    with open_session(state, as_json=as_json) as session:
        order = validated(RotationIn, grace_seconds=grace_seconds, force=force)
        work = session.services.keys.rotate(session.profile_id, key_id, **dict(order))
        issued = session.run(work)
        session.terminal.show(IssuedKeyOut.of_issued(issued), issued.plain)
        session.terminal.note(
            f"Key '{issued.row.name}' {issued.row.id}: it is not shown again. The old one works "
            f"for {grace_seconds} s more; slipstream keys show {key_id} says who still uses it."
        )


@commands.command("end-grace")
def end_grace(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Make a key that was rotated answer 401 from now on."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.end_grace(session.profile_id, key_id)))
        session.terminal.show(
            out, f"Key '{out.name}' has ended; {out.replaced_by} is in its place."
        )


@commands.command("deactivate")
def deactivate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Make a key answer 401 until it is activated again."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.deactivate(session.profile_id, key_id)))
        session.terminal.show(out, f"Key '{out.name}' is deactivated.")


@commands.command("activate")
def activate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Make a deactivated key work again."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.activate(session.profile_id, key_id)))
        session.terminal.show(out, f"Key '{out.name}' is {out.state}.")


@commands.command("delete")
def delete(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Remove a key for good."""
    with open_session(state, as_json=as_json) as session:
        session.run(session.services.keys.delete(session.profile_id, key_id))
        session.terminal.show({"id": key_id, "deleted": True}, f"Key {key_id} is deleted.")
