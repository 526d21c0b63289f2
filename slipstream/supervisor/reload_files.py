"""How `slipstream reload` and the supervisor talk: two files in the state folder.

SIGHUP without a request reloads with the same options and environment.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path


class ReloadState(StrEnum):
    """How far a reload is."""

    CHECKING = "checking"
    """The new code, options and settings are tried."""
    REPLACING = "replacing"
    """The supervisor is new; processes are being replaced."""
    DONE = "done"
    FAILED = "failed"
    """Everything goes on as before, or new processes do not become ready and the old ones serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadRequest:
    """What is to change; None: nothing."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    environment: Mapping[str, str] | None = None
    """All SLIPSTREAM_… variables."""
    arguments: Sequence[str] | None = None
    """All options of `slipstream up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadStatus:
    """What has become of a request."""

    id: str
    state: ReloadState
    message: str = ""


class ReloadFiles:
    """The two files."""

    def __init__(self, run: Path) -> None:
        """Use the state folder's `run`."""
        self._request = run / "reload-request.json"
        self._status = run / "reload-status.json"

    def request(self, request: ReloadRequest) -> None:
        """Write a request; the supervisor reads it on SIGHUP."""
        _replace(self._request, asdict(request))

    def take_request(self) -> ReloadRequest:
        """Return and remove the request; without one, return one that changes nothing."""
        with suppress(OSError, ValueError, TypeError):
            request = ReloadRequest(**json.loads(self._request.read_bytes()))
            self._request.unlink()
            return request
        return ReloadRequest()

    def report(self, status: ReloadStatus) -> None:
        """Write a status."""
        _replace(self._status, asdict(status))

    def status(self) -> ReloadStatus | None:
        """Return the last status."""
        with suppress(OSError, ValueError, TypeError):
            found = json.loads(self._status.read_bytes())
            return ReloadStatus(**{**found, "state": ReloadState(found["state"])})
        return None


def _replace(file: Path, document: Mapping[str, object]) -> None:
    draft = file.with_suffix(f".{os.getpid()}.draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(document))
    draft.replace(file)
