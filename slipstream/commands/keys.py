"""`slipstream keys`: API keys, shown once when they are created."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Annotated

import typer
from rich.console import RenderableType

from gateway.auth.identity import Scope
from gateway.auth.keys import PREFIX_LENGTH, SUFFIX_LENGTH, format_errors, mask
from gateway.auth.lifetime import KeyState
from gateway.auth.rotation import DEFAULT_GRACE_SECONDS, MAX_GRACE_SECONDS
from gateway.auth.schemas import (
    IssuedKeyOut,
    KeyAddressOut,
    KeyOut,
    KeyPage,
    KeyPatch,
    NewKey,
    RotationIn,
)
from gateway.storage.clock import now
from gateway.storage.tables import ApiKey, Deployment
from slipstream import options
from slipstream.commands.tables import Columns, model_fields, model_list
from slipstream.failures import RefusedError, exit_on_error
from slipstream.id_prefix import whole_id
from slipstream.options import ConcurrentRuns, PerDay, PerMinute, PollsPerMinute, limits_of
from slipstream.session import open_session, validated
from slipstream.state_location import Absent
from slipstream.terminal import Terminal

commands = typer.Typer(no_args_is_help=True)

KeyId = Annotated[
    str, typer.Argument(help="Id or name of the key.", metavar="ID", callback=whole_id(ApiKey))
]
Environment = Annotated[
    str | None, typer.Option(help="Where it is used, such as production; a label only.")
]
Days = Annotated[
    int | None,
    typer.Option("--expires-in-days", min=1, max=3650, help="Reject it (401) after so many days."),
]
Deployments = Annotated[
    list[str] | None,
    typer.Option(
        "--deployment",
        metavar="ID",
        help="Id or name of a deployment it may call; can be repeated. Default: all.",
        callback=whole_id(Deployment),
    ),
]


_GOOD_FOR = {
    Scope.TRIGGER: "all deployments",
    Scope.SERVE: "registering inference servers",
    Scope.MANAGE: "everything",
}


def _scope(*, manage: bool, serve: bool) -> Scope:
    if manage and serve:
        raise typer.BadParameter("--manage and --serve exclude each other")
    if serve:
        return Scope.SERVE
    return Scope.MANAGE if manage else Scope.TRIGGER


def _good_for(key: KeyOut) -> str:
    """Return what the key can be used for."""
    if key.state in {KeyState.DEACTIVATED, KeyState.EXPIRED}:
        return f"nothing: {key.state}"
    if key.deployments is None:
        scope = _GOOD_FOR[key.scope]
    else:
        scope = f"{len(key.deployments)} deployment{'s' * (len(key.deployments) != 1)}"
    return f"{scope}, until the grace ends" if key.state is KeyState.ROTATING else scope


COLUMNS: Columns[KeyOut] = {
    "id": "id",
    "name": "name",
    "state": "state",
    "good for": _good_for,
    "expires": lambda key: key.grace_ends_at if key.state is KeyState.ROTATING else key.expires_at,
    "key": "masked",
    "last used": "last_used_at",
    "environment": "environment",
    "uses": "total_uses",
    "refused": "refused_uses",
    "from": "last_address",
    "warnings": lambda key: [warning.code for warning in key.warnings],
}
ADDRESS_COLUMNS: Columns[KeyAddressOut] = {
    "address": "address",
    "calls": "calls",
    "refused": "refused",
    "first": "first_at",
    "last": "last_at",
}
_ROTATION_FIELDS = frozenset(
    {
        "rotated_at",
        "grace_ends_at",
        "calls_since_rotation",
        "last_call_since_rotation",
        "replaced_by",
    }
)
_STDIN = "-"


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="Name shown in lists.")],
    manage: Annotated[
        bool,
        typer.Option(
            "--manage", help="Allow it to manage resources, not only to call deployments."
        ),
    ] = False,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve", help="Let it register inference servers of your models, and nothing else."
        ),
    ] = False,
    deployment: Deployments = None,
    all_runs: Annotated[
        bool, typer.Option("--all-runs", help="Let it read all runs, not only those it starts.")
    ] = False,
    environment: Environment = None,
    expires_in_days: Days = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Create a key and print it once.

    $ slipstream keys create --name shop --environment production --deployment 0b9c…
    $ slipstream keys create --name ci --manage --expires-in-days 30 --json | jq -r .key
    $ slipstream keys create --name pods --serve --json | jq -r .key > serve-key
    """
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        new = validated(
            NewKey,
            name=name,
            scope=_scope(manage=manage, serve=serve),
            deployments=deployment or None,
            all_runs=all_runs,
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
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the keys, newest first."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        keys = session.services.keys
        page = KeyPage.of(session.fetch_all(lambda at: keys.page(session.profile_id, at)))
        none = "There are no keys: create one with `slipstream keys create --name NAME`."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


@commands.command("show")
def show(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Show a key's settings, usage and warnings, without the key itself."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.get(session.profile_id, key_id)))
        session.terminal.show(out, _fields(out))


@commands.command("addresses")
def addresses(
    key_id: KeyId,
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the client addresses that a key was used from, the last one first; 50 are kept."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        rows = session.run(session.services.keys.addresses(session.profile_id, key_id))
        found = [KeyAddressOut.model_validate(row) for row in rows]
        none = "It was not used from any address yet."
        session.terminal.show(
            [address.model_dump(mode="json") for address in found],
            model_list(found, ADDRESS_COLUMNS, empty=none),
        )


@commands.command("set")
def set_(
    key_id: KeyId,
    *,
    name: Annotated[str | None, typer.Option(help="New name.")] = None,
    environment: Environment = None,
    expires_in_days: Days = None,
    never_expires: Annotated[
        bool, typer.Option("--never-expires", help="Remove its expiry.")
    ] = False,
    scope: Annotated[Scope | None, typer.Option(help="What it may be used for.")] = None,
    deployment: Deployments = None,
    all_deployments: Annotated[
        bool, typer.Option("--all-deployments", help="Allow it to call all, including later ones.")
    ] = False,
    all_runs: Annotated[
        bool | None,
        typer.Option("--all-runs/--own-runs", help="Which runs of its deployments it reads."),
    ] = None,
    calls_per_minute: PerMinute = None,
    calls_per_day: PerDay = None,
    concurrent_runs: ConcurrentRuns = None,
    polls_per_minute: PollsPerMinute = None,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change a key immediately; omitted settings stay the same.

    $ slipstream keys set 5d1e… --environment staging --expires-in-days 90
    """
    if expires_in_days and never_expires:
        raise typer.BadParameter("--expires-in-days and --never-expires exclude each other")
    if deployment and all_deployments:
        raise typer.BadParameter("--deployment and --all-deployments exclude each other")
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
        change |= {} if all_runs is None else {"all_runs": all_runs}
        wish = validated(KeyPatch, **change).change()
        work = session.services.keys.change(session.profile_id, key_id, **wish)
        out = KeyOut.of(session.run(work))
        session.terminal.show(out, _fields(out))


@commands.command("rotate")
def rotate(
    key_id: KeyId,
    *,
    grace_seconds: Annotated[
        int, typer.Option(min=0, max=MAX_GRACE_SECONDS, help="How long the old key stays valid.")
    ] = DEFAULT_GRACE_SECONDS,
    force: Annotated[
        bool, typer.Option("--force", help="Even if the last rotation's grace has not ended.")
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Replace a key by a new one, and print that once.

    $ slipstream keys rotate 5d1e… --grace-seconds 3600
    """
    with open_session(state, as_json=as_json) as session:
        order = validated(RotationIn, grace_seconds=grace_seconds, force=force)
        work = session.services.keys.rotate(session.profile_id, key_id, **dict(order))
        issued = session.run(work)
        session.terminal.show(IssuedKeyOut.of_issued(issued), issued.plain)
        session.terminal.note(
            f"Key '{issued.row.name}' {issued.row.id}: it is not shown again. The old one stays "
            f"valid for {grace_seconds} s; slipstream keys show {key_id} shows whether it is used."
        )


@commands.command("end-grace")
def end_grace(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """End a rotated key's grace: it is rejected (401) from now on."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.end_grace(session.profile_id, key_id)))
        session.terminal.show(
            out, f"Key '{out.name}' is no longer valid; {out.replaced_by} replaces it."
        )


@commands.command("deactivate")
def deactivate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Reject a key (401) until it is activated again."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.deactivate(session.profile_id, key_id)))
        session.terminal.show(out, f"Key '{out.name}' is deactivated.")


@commands.command("activate")
def activate(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Accept a deactivated key again."""
    with open_session(state, as_json=as_json) as session:
        out = KeyOut.of(session.run(session.services.keys.activate(session.profile_id, key_id)))
        session.terminal.show(out, f"Key '{out.name}' is {out.state}.")


@commands.command("delete")
def delete(
    key_id: KeyId, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Delete a key permanently."""
    with open_session(state, as_json=as_json) as session:
        session.run(session.services.keys.delete(session.profile_id, key_id))
        session.terminal.show({"id": key_id, "deleted": True}, f"Key {key_id} is deleted.")


@commands.command("check")
def check(
    key: Annotated[
        str, typer.Argument(help="The key. Default, or -: read from stdin.", metavar="[KEY]")
    ] = _STDIN,
    *,
    as_json: options.Json = False,
) -> None:
    """Check a key's format and checksum offline: exit status 0 if it is well formed, else 1.

    This does not tell whether the key exists or is active. Give it on stdin to keep it out of the
    shell's history and of the process list.

    $ slipstream keys check < key.txt
    """
    with exit_on_error(as_json=as_json):
        text = _read_key(key)
        found = format_errors(text)
        if found:
            raise RefusedError("key_malformed", "; ".join(found))
        masked = mask(text[:PREFIX_LENGTH], text[-SUFFIX_LENGTH:])
        document = {"well_formed": True, "masked": masked}
        terminal = Terminal(as_json=as_json)
        terminal.show(document, f"{masked} is well formed: its checksum is correct.")
        if key != _STDIN:
            terminal.note("The key is in your shell's history now; next time, give it on stdin.")


def _read_key(key: str) -> str:
    if key != _STDIN:
        return key
    if sys.stdin.isatty():
        prompted: str = typer.prompt("Key", hide_input=True, err=True)
        return prompted.strip()
    return sys.stdin.read().strip()


def _fields(key: KeyOut) -> RenderableType:
    hide = {"scope", "deployments"} if key.deployments is None else {"scope"}
    if key.rotated_at is None:
        hide |= _ROTATION_FIELDS
    return model_fields(
        key,
        hide=hide,
        good_for=_good_for(key),
        warnings="\n".join(warning.message for warning in key.warnings),
    )
