"""How a command fails: one clear line, a stable code, and an exit status that means something."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from gateway.errors import GatewayError, StorageError
from model_store.errors import StoreError


class ExitStatus(IntEnum):
    """What the exit status of every command says; the same list is in `slipstream --help`."""

    OK = 0
    """It is done."""
    REFUSED = 1
    """It cannot be done as asked; for `doctor`: something is wrong."""
    USAGE = 2
    """The command line is wrong."""
    UNUSABLE = 3
    """It cannot be done here: a port in use, a folder or a database that cannot be used."""


class UnusableError(Exception):
    """Something that a command needs from this machine is missing, taken or damaged."""


class RefusedError(Exception):
    """It cannot be done as asked, for a reason that only the command line knows, or was told.

    Attributes:
        code: a stable name.
        message: what was expected, what came, what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@contextmanager
def exit_on_error(*, as_json: bool) -> Iterator[None]:
    """Turn the failures that people can mend into one line on stderr and an exit status.

    With `as_json` stdout gets `{"error": {"code", "message"}}` as its one document, too.
    Anything else is a bug and keeps its traceback.
    """
    try:
        yield
    except (GatewayError, StoreError, RefusedError) as error:
        _exit(ExitStatus.REFUSED, str(error.code), error.message, as_json=as_json)
    except (UnusableError, StorageError) as error:
        _exit(ExitStatus.UNUSABLE, "unusable", str(error), as_json=as_json)


def _exit(status: ExitStatus, code: str, message: str, *, as_json: bool) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"slipstream: {line}\n")
    if as_json:
        sys.stdout.write(json.dumps({"error": {"code": code, "message": line}}) + "\n")
    sys.exit(status)
