"""Validation of names, versions, labels and the paths of external data.

They become parts of file paths, so everything that could escape a folder is refused.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from model_store.errors import invalid_model, invalid_request

LATEST = "latest"
"""Refers to the highest version."""
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_UNPORTABLE = frozenset('\\:*?"<>|')
"""`*` above all: ONNX Runtime reads `*/_ORT_MEM_ADDR_/*` as an address in its own memory."""

_MAX_LOCATION_LENGTH = 200
"""Characters; file systems limit a name to 255 bytes, and the store's own path comes before."""


def check_name(name: str) -> str:
    """Return the model name `name`, or raise StoreError (INVALID_REQUEST)."""
    return _checked(name, "model name")


def is_name(text: str) -> bool:
    """Whether `text` is a model name."""
    return _NAME.fullmatch(text) is not None and ".." not in text


def check_label(label: str) -> str:
    """Return `label`, or raise StoreError (INVALID_REQUEST): it must not look like a version."""
    if label == LATEST or label.isdigit():
        raise invalid_request(
            f"label {label!r} looks like a version: choose a word, as in 'stable'"
        )
    return _checked(label, "label")


def check_version(version: int) -> int:
    """Return `version`, or raise StoreError (INVALID_REQUEST) unless it has 1 to 18 digits."""
    return parse_version(str(version))


def is_version(text: str) -> bool:
    """Whether `text` is a version number without sign or leading zero."""
    return _VERSION.fullmatch(text) is not None


def parse_version(text: str) -> int:
    """Return the version in `text`, or raise StoreError (INVALID_REQUEST)."""
    if not is_version(text):
        raise invalid_request(f"version {text!r}: expected a whole number from 1, as in '3'")
    return int(text)


def check_location(location: str) -> PurePosixPath:
    """Return the path of external data relative to its model, or raise StoreError (INVALID_MODEL).

    Accepts plain relative paths only: not absolute, without `..`, not hidden, without characters
    that are special to other programs, and none of the store's own files.
    """
    path = PurePosixPath(location)
    plain = location.isprintable() and not set(location) & _UNPORTABLE
    short = len(location) <= _MAX_LOCATION_LENGTH
    if not (plain and short and path.name) or path.is_absolute() or _hidden(path):
        raise invalid_model(
            f"external data at {location!r}: expected a plain path below the model's folder, "
            "as in 'weights.bin'",
        )
    if str(path).lower() in (MODEL_FILE, MANIFEST_FILE):
        raise invalid_model(f"external data at {location!r}: that is a file of the store itself")
    return path


def _hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _checked(name: str, what: str) -> str:
    if not is_name(name):
        raise invalid_request(
            f"{what} {name!r}: expected 1 to 128 of the characters a-z A-Z 0-9 . _ - "
            "starting with a letter or digit, without '..'"
        )
    return name
