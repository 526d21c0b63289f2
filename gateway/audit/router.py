"""`/node/audit/`; all routes need a `manage` key or a session."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends, Query
from starlette.responses import StreamingResponse

from gateway.audit.export import MEDIA_TYPES, ExportFormat, export
from gateway.audit.schemas import AuditEventPage
from gateway.audit.service import AuditLog
from gateway.audit.store import AuditFilter
from gateway.auth.access import Manager
from gateway.auth.identity import Identity, check_administers
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.storage.audit_events import AuditTarget
from gateway.storage.clock import UtcDatetime
from gateway.storage.paging import PageRequest

Text = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]

# Any: OpenAPI's own form
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/csv": _TEXT, "application/jsonl": _TEXT},
        "description": "All events that match the filters.",
    }
}


class _FilterParams:
    """Query parameters that filter events; a FastAPI dependency."""

    def __init__(  # noqa: PLR0917 - query parameters, which FastAPI gives by name
        self,
        action: Text = None,
        subject_kind: AuditTarget | None = None,
        subject_id: Text = None,
        actor: Text = None,
        since: Annotated[UtcDatetime | None, Query(alias="from")] = None,
        before: Annotated[UtcDatetime | None, Query(alias="to")] = None,
        everyone: bool = False,
    ) -> None:
        self._everyone = everyone
        self._filter = AuditFilter(
            action=action,
            subject_kind=subject_kind,
            subject_id=subject_id,
            actor_id=actor,
            since=since,
            before=before,
        )

    def for_caller(self, identity: Identity) -> AuditFilter:
        """Return the filter, limited to the caller's own profile unless `everyone` is set.

        Raises:
            GatewayError: ROLE_FORBIDDEN for `everyone` from a member.
        """
        if self._everyone:
            check_administers(identity)
            return self._filter
        return replace(self._filter, owner_id=identity.profile_id)


Log = Annotated[AuditLog, from_app(AuditLog)]
router = DocumentedRouter(prefix="/node/audit", tags=["Audit log"])


@router.get("/")
async def list_audit_events(
    log: Log, actor: Manager, filters: _FilterParams = Depends(), page: PageRequest = Depends()
) -> AuditEventPage:
    """List events, newest first. `from` and `to` are times; `to` is exclusive.

    `actor` is the id of the profile that acted. `everyone` shows the events of all profiles; it
    needs the role admin or owner.
    """
    return AuditEventPage.of(await log.page(filters.for_caller(actor), page))


@router.get("/export/", response_class=StreamingResponse, responses=_EXPORT)
async def export_audit_events(
    log: Log,
    actor: Manager,
    form: Annotated[ExportFormat, Query(alias="format")] = ExportFormat.JSONL,
    filters: _FilterParams = Depends(),
) -> StreamingResponse:
    """Download all events that match the filters, newest first.

    In CSV, a cell that a spreadsheet would run as a formula is prefixed with an apostrophe.
    """
    batches = log.batches(filters.for_caller(actor))
    headers = {
        "content-disposition": f'attachment; filename="audit.{form}"',
        "cache-control": "no-store",
    }
    return StreamingResponse(export(batches, form), media_type=MEDIA_TYPES[form], headers=headers)
