"""The pepper, the secret for hashing API keys: set by the operator, or generated once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from gateway.errors import StorageError

_MIN_BYTES = 16
_GENERATED_BYTES = 32


def load_pepper(given: str | None, state: Path) -> bytes:
    """Return the pepper: `given`, or else the one in the state folder.

    The file `<state>/pepper` is created on the first call, readable by its owner only. If several
    processes create it at once, all of them return the same pepper.

    Raises:
        StorageError: the pepper is too short, or its file cannot be read or written.
    """
    if given is not None:
        return _check_length(given.encode(), "SLIPSTREAM_KEY_PEPPER")
    path = state / "pepper"
    try:
        if not path.exists():
            _create_file(path)
        return _check_length(path.read_bytes(), str(path))
    except OSError as error:
        raise StorageError(f"the pepper {path} cannot be used: {error.strerror}") from error


def _create_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".pepper-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(_GENERATED_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails if another process was first; its pepper is used
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _check_length(pepper: bytes, source: str) -> bytes:
    if len(pepper) < _MIN_BYTES:
        message = f"{source}: expected at least {_MIN_BYTES} bytes, got {len(pepper)}"
        raise StorageError(message)
    return pepper
