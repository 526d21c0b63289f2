"""Exports audit events as CSV or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import StrEnum

import orjson

from gateway.audit.schemas import AuditEventOut
from gateway.storage.audit_tables import AuditEvent

COLUMNS = tuple(AuditEventOut.model_fields)

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Characters that start a formula in spreadsheets."""


class ExportFormat(StrEnum):
    """The format of an export."""

    CSV = "csv"
    """RFC 4180 with a header line, UTF-8; `before` and `after` are JSON."""
    JSONL = "jsonl"
    """One JSON document per line."""


MEDIA_TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSONL: "application/jsonl"}


async def export(
    batches: AsyncIterator[Sequence[AuditEvent]], form: ExportFormat
) -> AsyncIterator[bytes]:
    """Yield the events as text, one chunk per batch."""
    if form is ExportFormat.CSV:
        yield _csv([COLUMNS])
    async for batch in batches:
        events = [AuditEventOut.of(row) for row in batch]
        if form is ExportFormat.CSV:
            yield _csv([_cells(event) for event in events])
        else:
            yield b"".join(event.model_dump_json().encode() + b"\n" for event in events)


def _cells(event: AuditEventOut) -> list[str]:
    return [_escape_formula(_text(value)) for value in event.model_dump(mode="json").values()]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _escape_formula(cell: str) -> str:
    """Return a cell that spreadsheets do not run as a formula; users choose their names freely."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
