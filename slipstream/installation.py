"""The settings with which a command acts: those of the installation on the state folder.

While `slipstream up` runs there, they are its settings, wherever it has them from. Otherwise they
come from the environment of the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gateway.settings import Settings
from gateway.storage.database import parse_url, sqlite_file
from gateway.storage.schema_version import newest_revision
from slipstream.failures import UnusableError
from slipstream.settings import PEPPER_VARIABLE, PREFIX, installation_variables, is_shared
from slipstream.supervisor.running_supervisor import (
    RunningSupervisor,
    last_database,
    running_supervisor,
)
from slipstream.workspace import broker_of, read_settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A difference that keeps a command from acting on the installation."""

    problem: str
    """What was expected and what was found."""
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What runs on a state folder, and the settings for it."""

    settings: Settings
    running: RunningSupervisor | None = None
    conflicts: Sequence[Conflict] = ()
    other_version: Conflict | None = None
    """Set where the running code has other tables than this one."""
    adopted: Sequence[str] = ()
    """What the running installation has, and the environment of the command does not say."""
    ignored: Sequence[str] = ()
    """Variables of the command to which the running installation has other values."""
    variables: Mapping[str, str] | None = field(default=None, repr=False)
    """The variables that all processes of the running installation share."""

    def check(self, *, any_version: bool = False) -> None:
        """Raise UnusableError for a conflict; with `any_version` not for `other_version`."""
        version = None if any_version else self.other_version
        for conflict in (*self.conflicts, *filter(None, [version])):
            raise UnusableError(f"{conflict.problem}: {conflict.fix}")

    def notes(self) -> Iterator[str]:
        """Yield what a command should say about its settings."""
        if self.running and self.adopted:
            yield f"Uses what `slipstream up` (process {self.running.pid}) uses: " + ", ".join(
                self.adopted
            )
        if self.running and self.ignored:
            yield (
                f"Not used: {', '.join(self.ignored)}, as `slipstream up` (process "
                f"{self.running.pid}) has other values"
            )


def find_installation(state: Path) -> Installation:
    """Return the installation on a state folder.

    Raises:
        UnusableError: a setting is invalid; or another user's installation may run there.
    """
    state = state.absolute()
    own = read_settings(state=state)
    running = running_supervisor(state)
    if running is None:
        return Installation(settings=own, conflicts=[*_other_database(own)])
    shared = _shared_variables(running, own)
    settings = _settings_of(running, shared, own)
    ours, theirs = _identity(own), _identity(settings)
    different = [name for name in theirs if ours[name].key != theirs[name].key]
    explicit = {name for name in own.model_fields_set if getattr(own, name) not in (None, "")}
    variables = installation_variables()
    others = explicit - theirs.keys()
    return Installation(
        settings=settings,
        running=running,
        conflicts=[
            _conflict(name, running, ours[name], theirs[name])
            for name in different
            if name in explicit
        ]
        + [*_unknown_pepper(running, shared)],
        other_version=_other_version(running),
        adopted=[theirs[name].text for name in different if name not in explicit],
        ignored=[
            variable
            for name in sorted(others)
            if (variable := _variable(name)) in variables
            and variables[variable] != running.settings.get(variable)
            and getattr(own, name) != getattr(settings, name)
        ],
        variables=shared,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Something of which an installation has one: the key to compare, and its text."""

    key: object
    text: str


def _identity(settings: Settings) -> dict[str, _Part]:
    """Return what makes it this installation and no other, by the names of the settings."""
    url = parse_url(settings.database)
    key = url.set(password=None)
    if file := sqlite_file(url):
        key = key.set(database=str(file.resolve()))
    broker = broker_of(settings).display_url
    prefix, pepper = settings.queue_prefix, settings.key_pepper
    if not pepper:
        with suppress(OSError, ValueError):
            pepper = (settings.state / "pepper").read_text()
    return {
        "database_url": _Part(key=key, text=f"database {url.render_as_string(hide_password=True)}"),
        "broker_url": _Part(key=broker, text=f"broker {broker}"),
        "queue_prefix": _Part(key=prefix, text=f"queue prefix {prefix}"),
        "key_pepper": _Part(key=pepper, text="its key pepper"),
    }


def _shared_variables(running: RunningSupervisor, own: Settings) -> dict[str, str]:
    """Return the shared variables of the supervisor, with the pepper if it is in one.

    The pepper is not in the record. It is in the environment of the process, which its user can
    read in the same container; elsewhere it has to be in our own.
    """
    shared = dict(running.settings)
    if running.pepper_in_environment:
        pepper = environment_of(running).get(PEPPER_VARIABLE) or own.key_pepper
        if pepper:
            shared[PEPPER_VARIABLE] = pepper
    return shared


def environment_of(running: RunningSupervisor) -> dict[str, str]:
    """Return the environment of the supervisor, as far as its user can read it from here."""
    environment: dict[str, str] = {}
    with suppress(psutil.Error, OSError):
        environment = psutil.Process(running.pid).environ()
    return {name.upper(): text for name, text in environment.items()}


def _unknown_pepper(running: RunningSupervisor, shared: Mapping[str, str]) -> Iterator[Conflict]:
    if running.pepper_in_environment and PEPPER_VARIABLE not in shared:
        yield Conflict(
            problem=f"{PEPPER_VARIABLE}: expected the pepper that `slipstream up` (process "
            f"{running.pid}) has in its environment, which cannot be read from here",
            fix=f"set it, or give both {PEPPER_VARIABLE}_FILE",
        )


def _settings_of(running: RunningSupervisor, shared: Mapping[str, str], own: Settings) -> Settings:
    """Return our own settings, with what is shared as the supervisor has it."""
    given = {
        name: shared.get(_variable(name), declared.get_default(call_default_factory=True))
        for name, declared in Settings.model_fields.items()
        if is_shared(_variable(name))
    }
    address = {"host": running.host, "port": running.port, "grpc_port": running.grpc_port}
    return read_settings(**given, **address, workers=running.workers, state=own.state)


def _other_database(own: Settings) -> Iterator[Conflict]:
    """Yield a conflict where SQLite would be used beside another database."""
    last = last_database(own.state)
    if last is not None and not own.database_url:
        yield Conflict(
            problem="SLIPSTREAM_DATABASE_URL is not set, and the last `slipstream up` on "
            f"{own.state} used {last}",
            fix=f"set it; to sqlite:///{own.state}/slipstream.db for a database in the folder",
        )


def _other_version(running: RunningSupervisor) -> Conflict | None:
    newest = newest_revision()
    if running.schema == newest:
        return None
    return Conflict(
        problem=f"`slipstream up` (process {running.pid}) runs code with database schema "
        f"{running.schema}, and this command is of a version with {newest}",
        fix="restart `slipstream up` with this version, or use the command of its version",
    )


def _conflict(name: str, running: RunningSupervisor, ours: _Part, theirs: _Part) -> Conflict:
    expected, got = theirs.text, ours.text
    if expected == got:
        got = "another value"
    return Conflict(
        problem=f"{_variable(name)}: expected {expected}, as `slipstream up` (process "
        f"{running.pid}) uses it, got {got}",
        fix="unset it; or choose another installation with --state",
    )


def _variable(name: str) -> str:
    return PREFIX + name.upper()
