"""Whether calls of a published model can share a run: read from its manifest, or checked again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from inference_server.runtime.rows import VERSION
from model_store.errors import StoreError
from model_store.manifest import Manifest, RowProof, parse_rows
from model_store.verification import describe_failure, run_limited

_CHILD = (sys.executable, "-m", "inference_server.runtime.rows.check")
_SECONDS = 30.0
_MEMORY_BYTES = 1 << 30
_MEMORY_FACTOR = 3
"""Bytes of address space for each byte of the file, beside `_MEMORY_BYTES`."""


def row_proof(manifest: Manifest, model: Path) -> RowProof:
    """Return what is known of the rows of a published model.

    What was published by a release with other rules, or none, is checked now, in a child process:
    the manifest does not change. This blocks; a graph that cannot be read is not proved.
    """
    if manifest.rows is not None and manifest.rows.version == VERSION:
        return manifest.rows
    memory_bytes = _MEMORY_BYTES + _MEMORY_FACTOR * model.stat().st_size
    try:
        report, status, log = run_limited([*_CHILD, str(model)], memory_bytes, _SECONDS)
        try:
            document: dict[str, Any] = orjson.loads(report)  # Any: checked by `parse_rows`
            return parse_rows(document)
        except (ValueError, TypeError, KeyError) as error:
            raise describe_failure(status, log, error) from error
    except StoreError as error:
        reason = f"its graph could not be read within the limits: {error.message}"
        return RowProof(version=VERSION, reason=reason)
