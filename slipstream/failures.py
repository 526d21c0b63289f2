"""Errors of commands: one line on stderr, a stable code, and an exit status."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from gateway.errors import GatewayError, StorageError
from model_store.errors import StoreError

if TYPE_CHECKING:  # slow to import, and `up` imports this module first
    from pydantic_core import ErrorDetails


def expectation(problem: ErrorDetails) -> str:
    """Return a problem that pydantic has found as `expected X, got Y`."""
    expected = problem["msg"].replace("Input should be", "expected").removeprefix("Value error, ")
    return f"{expected}, got {problem['input']!r}"


class ExitStatus(IntEnum):
    """Exit status of every command, as listed by `slipstream --help`."""

    OK = 0
    """Done."""
    REFUSED = 1
    """The request was refused; for `doctor`, `status` and `system`: something is wrong."""
    USAGE = 2
    """The command line is invalid."""
    UNUSABLE = 3
    """The command cannot run here: a port in use, a folder or a database that cannot be used."""


class UnusableError(Exception):
    """Something that a command needs from this machine is missing, taken or damaged."""


class RefusedError(Exception):
    """The request was refused for a reason of the command line itself.

    Attributes:
        code: a stable name.
        message: what was expected, what was given, what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def exit_on_error(*, as_json: bool) -> Iterator[None]:
    """Turn errors that users can fix into one line on stderr and an exit status.

    A line for each follows where a validation has found several. With `as_json`, stdout gets
    `{"error": {"code", "message"}}`, and `errors` of a validation, each with `pointer` and
    `detail`. Any other exception is a bug and keeps its traceback.
    """
    try:
        yield
    except GatewayError as error:
        code, message = str(error.code), error.message
        _exit(ExitStatus.REFUSED, code, message, as_json=as_json, errors=error.errors)
    except (StoreError, RefusedError) as error:
        _exit(ExitStatus.REFUSED, str(error.code), error.message, as_json=as_json)
    except (UnusableError, StorageError) as error:
        _exit(ExitStatus.UNUSABLE, "unusable", str(error), as_json=as_json)


def _exit(
    status: ExitStatus,
    code: str,
    message: str,
    *,
    as_json: bool,
    errors: Sequence[Mapping[str, str]] = (),
) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"slipstream: {line}\n")
    for error in errors if len(errors) > 1 else ():
        sys.stderr.write(f"  {error['pointer']}: {' '.join(error['detail'].split())}\n")
    if as_json:
        document: dict[str, object] = {"code": code, "message": line}
        if errors:
            document["errors"] = list(errors)
        sys.stdout.write(json.dumps({"error": document}) + "\n")
    sys.exit(status)
