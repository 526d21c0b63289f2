"""`slipstream users`: users and their roles. Passwords are never arguments."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gateway.accounts.passwords import generate_password
from gateway.accounts.schemas import InvitationOut, UserOut, UserPage, UserPatch
from gateway.accounts.users import UserChange, UserState
from gateway.auth.identity import Role
from gateway.runs.cleanup import DeletedOwnerCleanup
from gateway.runs.store import RunStore
from slipstream import options
from slipstream.commands.tables import Columns, model_list
from slipstream.failures import RefusedError
from slipstream.session import CommandSession, open_session, validated
from slipstream.state_location import Absent

commands = typer.Typer(no_args_is_help=True)

COLUMNS: Columns[UserOut] = {
    "e-mail": "email",
    "role": "role",
    "state": "state",
    "last login": "last_login_at",
    "password": lambda user: "set" if user.has_password else "none yet",
    "handle": "handle",
    "user's id": "id",
}

User = Annotated[str, typer.Argument(help="E-mail address or id of the user.", metavar="USER")]
Generate = Annotated[
    bool, typer.Option("--generate", help="Generate a password and print it once.")
]


def register(application: typer.Typer, noun: str, text: str) -> None:
    """Add the commands."""
    application.add_typer(commands, name=noun, help=text)


@commands.command("create")
def create(
    email: Annotated[str, typer.Argument(help="E-mail address, used to log in.", metavar="EMAIL")],
    *,
    role: Annotated[Role, typer.Option(help="Role of the user.")] = Role.MEMBER,
    generated: Generate = False,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password",
            help="Create the user without a password; logging in is not possible yet.",
        ),
    ] = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Create a user. The password is prompted for, read from stdin, or generated.

    $ slipstream users create ada@example.com --role admin
    $ slipstream users create ada@example.com --generate
    """
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        password = None if no_password else _password(generated=generated)
        user = session.run(session.services.users.create(email, role, password, by=None))
        session.terminal.note(f"User {user.email} {user.id}, role {user.role}.")
        _show(session, UserOut.of(user), password if generated else None)


@commands.command("list")
def list_users(
    *,
    wide: options.Wide = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """List the users, newest first."""
    with open_session(state, as_json=as_json, wide=wide) as session:
        page = UserPage.of(session.fetch_all(session.services.users.page))
        none = "There are no users."
        session.terminal.show(page, model_list(page.items, COLUMNS, empty=none))


@commands.command("set-role")
def set_role(
    user: User,
    role: Annotated[Role, typer.Argument(help="New role.")],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change a user's role."""
    with open_session(state, as_json=as_json) as session:
        changed = _change(session, user, UserChange(role=role))
        session.terminal.show(changed, f"{changed.email} is {changed.role} now.")


@commands.command("set-handle")
def set_handle(
    user: User,
    handle: Annotated[
        str,
        typer.Argument(
            help="New handle: lower-case letters, digits and hyphens.", metavar="HANDLE"
        ),
    ],
    *,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Change what names a user in the readable addresses of deployments.

    The former addresses answer 404 from then on.

    $ slipstream users set-handle ada@example.com countess
    """
    with open_session(state, as_json=as_json) as session:
        changed = _change(session, user, validated(UserPatch, handle=handle).change())
        session.terminal.show(changed, f"The handle of {changed.email} is {changed.handle} now.")


@commands.command("reset-password")
def reset_password(
    user: User,
    *,
    generated: Generate = False,
    state: options.State = options.DEFAULT_STATE,
    as_json: options.Json = False,
) -> None:
    """Set a new password, which ends the user's sessions.

    The password is prompted for, read from stdin, or generated.

    $ slipstream users reset-password admin@localhost
    """
    with open_session(state, as_json=as_json) as session:
        session.run(session.services.users.find(user))
        password = _password(generated=generated)
        changed = _change(session, user, UserChange(password=password))
        session.terminal.note(f"{changed.email} has a new password; existing sessions have ended.")
        _show(session, changed, password if generated else None)


@commands.command("invite")
def invite(
    user: User, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Print a link with which a user sets a password and logs in, once, within 72 hours.

    It ends the user's older links.

    $ slipstream users create ada@example.com --no-password
    $ slipstream users invite ada@example.com
    """
    with open_session(state, as_json=as_json, absent=Absent.CREATE) as session:
        found = session.run(session.services.users.find(user))
        invitation = session.run(session.services.invitations.invite(found.id, by=None))
        url = invitation.url(session.public_url)
        out = InvitationOut(url=url, expires_at=invitation.expires_at)
        session.terminal.show(out, out.url)
        session.terminal.note(
            f"For {found.email}, once, until {out.expires_at:%Y-%m-%d %H:%M} UTC."
        )


@commands.command("deactivate")
def deactivate(
    user: User, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Reject all keys and sessions of a user, within a second."""
    with open_session(state, as_json=as_json) as session:
        changed = _change(session, user, UserChange(state=UserState.DEACTIVATED))
        session.terminal.show(changed, f"{changed.email} is deactivated.")


@commands.command("activate")
def activate(
    user: User, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Accept a deactivated user's keys again; the user has to log in again."""
    with open_session(state, as_json=as_json) as session:
        changed = _change(session, user, UserChange(state=UserState.ACTIVE))
        session.terminal.show(changed, f"{changed.email} is active.")


@commands.command("delete")
def delete(
    user: User, *, state: options.State = options.DEFAULT_STATE, as_json: options.Json = False
) -> None:
    """Delete a user permanently, with the user's flows, deployments and keys.

    Unfinished runs are cancelled.
    """
    with open_session(state, as_json=as_json) as session:
        found = session.run(session.services.users.find(user))
        db = session.workspace.db
        cleanup = DeletedOwnerCleanup(db, RunStore(db))
        session.run(session.services.users.delete(found.id, cleanup, by=None))
        document = {"id": found.id, "deleted": True}
        session.terminal.show(document, f"{found.email} is deleted.")


def _change(session: CommandSession, name: str, change: UserChange) -> UserOut:
    users = session.services.users
    found = session.run(users.find(name))
    return UserOut.of(session.run(users.change(found.id, change, by=None)))


def _show(session: CommandSession, user: UserOut, password: str | None) -> None:
    """Show the user, with the password if it was generated."""
    if password is None:
        session.terminal.show(user)
    else:
        session.terminal.show({**user.model_dump(mode="json"), "password": password}, password)


def _password(*, generated: bool) -> str:
    """Return a generated password, one typed twice, or the first line of stdin."""
    if generated:
        return generate_password()
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        message = "expected a password: type it, pipe it to stdin, or use --generate"
        raise RefusedError("password_missing", message)
    return line
