"""Acts as text, for other programs: CSV for spreadsheets, JSON lines for everything else."""

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
"""What a spreadsheet takes for the start of a formula."""


class ExportFormat(StrEnum):
    """The form of an export."""

    CSV = "csv"
    """RFC 4180 with a header line, UTF-8; `before` and `after` are JSON."""
    JSONL = "jsonl"
    """One JSON document a line."""


MEDIA_TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSONL: "application/jsonl"}


async def export(
    lots: AsyncIterator[Sequence[AuditEvent]], form: ExportFormat
) -> AsyncIterator[bytes]:
    """Yield the acts as text, a part for each lot."""
    if form is ExportFormat.CSV:
        yield _csv([COLUMNS])
    async for lot in lots:
        acts = [AuditEventOut.of(row) for row in lot]
        if form is ExportFormat.CSV:
            yield _csv([_cells(act) for act in acts])
        else:
            yield b"".join(act.model_dump_json().encode() + b"\n" for act in acts)


def _cells(act: AuditEventOut) -> list[str]:
    return [_escape_formula(_text(value)) for value in act.model_dump(mode="json").values()]


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _escape_formula(cell: str) -> str:
    """Return a cell that no spreadsheet runs: names are what their makers want them to be."""
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode()
