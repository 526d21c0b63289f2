"""`/node/flow-runs/`; any key may read and change the runs that it started, and some all runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse

from gateway.auth.access import Caller, CountedCaller, Manager, Poller
from gateway.conditional_requests import NOT_MODIFIED, IfNoneMatch
from gateway.dependencies import from_app
from gateway.deployments.response_format import HEADER, ChosenFormat
from gateway.deployments.settings import ExecutionMode, ResponseFormat
from gateway.operations import DocumentedRouter, QueryPrefix
from gateway.runs.event_stream import read_last_event_id
from gateway.runs.labels import FILTER_PREFIX, read_label_filter
from gateway.runs.queries import RunFilter
from gateway.runs.responses import (
    accepted_body,
    poll_body,
    retry_after,
    run_etag,
    run_location,
    server_timing,
)
from gateway.runs.run import Run, RunStatus
from gateway.runs.schemas import (
    Accepted,
    DeletedRuns,
    Polled,
    RetriedVersion,
    RunPage,
    TimelineOut,
)
from gateway.runs.service import RunService
from gateway.runs.stream_places import StreamPlaces
from gateway.runs.timeline import SpanRequest
from gateway.storage.clock import UtcDatetime, now
from gateway.storage.etags import matches_none
from gateway.storage.paging import PageRequest
from gateway.web.event_streams import EventStreamResponse
from gateway.web.preferences import read_preferences
from gateway.web.row_names import DeploymentFilterId

MAX_WAIT_SECONDS = 60
"""Upper limit of a long poll: common proxies time out after about 60 s."""

Seconds = Annotated[int | None, Query(ge=0, le=MAX_WAIT_SECONDS)]
FetchMode = Annotated[str | None, Header(include_in_schema=False)]
"""Decides what the response format `auto` means."""

# Any: OpenAPI's own form
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "description": "What to send as `Last-Event-ID`."},
        "event": {
            "type": "string",
            "description": "`status`, `node`, or the final state, after which nothing follows.",
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "Of a final state: what a poll answers, in the same format, without "
            "`input_data` and the names of deployment and key.",
        },
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": _EVENT}},
        "description": "Server-sent events, each of this form, until the run has ended.",
    },
    204: {"description": "There are no events after the client's last one."},
}


class _RunFilterParams:
    """The query parameters of a list of runs; a FastAPI dependency."""

    def __init__(  # noqa: PLR0917 - query parameters, which FastAPI gives by name
        self,
        request: Request,
        deployment: DeploymentFilterId,
        status: RunStatus | None = None,
        version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        key: str | None = None,
        since: Annotated[UtcDatetime | None, Query(alias="from")] = None,
        before: Annotated[UtcDatetime | None, Query(alias="to")] = None,
        idempotency_key: str | None = None,
        request_id: Annotated[str | None, Query(max_length=128)] = None,
        code: Annotated[str | None, Query(max_length=64)] = None,
        mode: ExecutionMode | None = None,
        min_seconds: Annotated[float | None, Query(ge=0, le=1e9)] = None,
        flow: str | None = None,
        *,
        test: bool | None = None,
    ) -> None:
        self.run_filter = RunFilter(
            profile_id="",
            deployment_id=deployment,
            status=status,
            version=version,
            key_id=key,
            since=since,
            before=before,
            idempotency_key=idempotency_key,
            request_id=request_id,
            code=code,
            mode=mode,
            min_seconds=min_seconds,
            flow_id=flow,
            test=test,
            labels=read_label_filter(request.query_params.multi_items()),
        )


class _PollParams:
    """The query parameters and headers of a poll, likewise."""

    def __init__(  # noqa: PLR0917 - as above
        self,
        if_none_match: IfNoneMatch,
        wait: Seconds = None,
        response_format: ResponseFormat | None = None,
        include_node_outputs: bool = True,
        include_input_data: bool | None = None,
        prefer: Annotated[str | None, Header()] = None,
        sec_fetch_mode: FetchMode = None,
    ) -> None:
        self.if_none_match = if_none_match
        self.wait = wait
        preferred = read_preferences(prefer).wait
        self.granted = None if preferred is None else min(preferred, MAX_WAIT_SECONDS)
        """The seconds of `Prefer: wait`."""
        self.response_format = response_format
        self.include_node_outputs = include_node_outputs
        self.include_input_data = include_input_data
        self.fetch_mode = sec_fetch_mode


Asked = Annotated[_PollParams, Depends()]
Service = Annotated[RunService, from_app(RunService)]
Places = Annotated[StreamPlaces, from_app(StreamPlaces)]
router = DocumentedRouter(prefix="/node/flow-runs", tags=["Flow runs"])
named_router = DocumentedRouter(prefix="/v1/{owner}/{slug}/runs", tags=["Flow runs"])


@router.get("/", dependencies=[Depends(QueryPrefix(FILTER_PREFIX))])
async def list_runs(
    service: Service,
    poller: Poller,
    filters: _RunFilterParams = Depends(),
    page: PageRequest = Depends(),
) -> RunPage:
    """List runs, newest first. `from` and `to` are creation times; `to` is exclusive.

    `code` is an error's; `min_seconds` selects runs that took so long; `flow` selects the runs of
    all deployments of a flow, and tests of its drafts; `test` selects tests, or leaves them out.
    `metadata.order=42` selects runs with this label; of several, all must match. A page may have
    few runs or none and a `next_cursor` where most runs do not match.
    """
    found = await service.page(poller.identity, filters.run_filter, page)
    return RunPage.of(found, await service.names(poller.identity, found.items))


@router.delete("/")
async def delete_runs(
    service: Service,
    manager: Manager,
    to: UtcDatetime,
    deployment: DeploymentFilterId,
    status: RunStatus | None = None,
) -> DeletedRuns:
    """Delete finished runs created before `to`, some hundred of the oldest: repeat until 0."""
    which = RunFilter(profile_id="", deployment_id=deployment, status=status, before=to)
    return DeletedRuns(deleted=await service.delete(manager, which))


@router.get("/{run_id}/", response_model=Polled, responses=NOT_MODIFIED)
async def show(service: Service, poller: Poller, run_id: str, asked: Asked) -> Response:
    """Show a run; with `wait` or `Prefer: wait`, once it has ended or after these seconds.

    Sessions and `manage` keys get `input_data` once it has ended, all with
    `include_input_data=true`.
    """
    return await _show(service, poller, run_id, asked)


@named_router.get(
    "/{run_id}/", operation_id="get_named_run", response_model=Polled, responses=NOT_MODIFIED
)
async def show_named(  # noqa: PLR0917 - as above
    service: Service, poller: Poller, owner: str, slug: str, run_id: str, asked: Asked
) -> Response:
    """Show a run of the deployment at a readable address, as `get_flow_run` does."""
    return await _show(service, poller, run_id, asked, address=f"{owner}/{slug}")


@router.post("/{run_id}/cancel/", status_code=202, response_model=Polled)
async def cancel(
    service: Service, actor: Caller, run_id: str, sec_fetch_mode: FetchMode = None
) -> Response:
    """Cancel a run. A running one is `cancelling` until it has stopped."""
    run = await service.cancel(actor, run_id)
    chosen = await service.format_of(run, sec_fetch_mode)
    return _accepted(run, chosen, poll_body(run, chosen.form))


@router.post("/{run_id}/retry/", status_code=202, response_model=Accepted)
async def retry(
    service: Service,
    actor: Caller,
    run_id: str,
    version: RetriedVersion = RetriedVersion.SAME,
    sec_fetch_mode: FetchMode = None,
) -> Response:
    """Run the input of a failed run again, in the background, as a new run."""
    latest = version is RetriedVersion.LATEST
    run = await service.retry(actor, run_id, latest=latest)
    chosen = await service.format_of(run, sec_fetch_mode)
    return _accepted(run, chosen, accepted_body(run, chosen.form))


@router.get("/{run_id}/events/", response_class=StreamingResponse, responses=_STREAM)
async def events(  # noqa: PLR0917 - as above
    service: Service,
    places: Places,
    poller: Poller,
    run_id: str,
    response_format: ResponseFormat | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
    sec_fetch_mode: FetchMode = None,
) -> Response:
    """Follow a run as server-sent events, after `Last-Event-ID` if given.

    `response_format` is that of the last event's data.
    """
    after = read_last_event_id(last_event_id)
    run = await service.poll(poller.identity, run_id, 0, poll=poller.poll)
    if after is None:
        return Response(status_code=204)  # makes a browser's EventSource stop
    chosen = await service.format_of(run, sec_fetch_mode, response_format)
    give_up = places.take(poller.identity)
    stream = EventStreamResponse(service.follow(run, after, chosen.form), give_up)
    stream.headers[HEADER] = chosen.value
    return stream


@router.get("/{run_id}/timeline/")
async def timeline(
    service: Service, poller: Poller, run_id: str, page: SpanRequest = Depends()
) -> TimelineOut:
    """Show what happened to a run and when: in its queue, in its nodes, to its webhooks.

    Sessions and `manage` keys see the webhooks.

    Spans of which the times are not known have none; `notes` say why.
    """
    return TimelineOut.of(await service.timeline(poller.identity, run_id, page))


async def _show(
    service: RunService,
    poller: CountedCaller,
    run_id: str,
    asked: _PollParams,
    *,
    address: str | None = None,
) -> Response:
    seconds = asked.wait if asked.wait is not None else asked.granted or 0
    run = await service.poll(poller.identity, run_id, seconds, poll=poller.poll, address=address)
    chosen = await service.format_of(run, asked.fetch_mode, asked.response_format)
    headers = _headers(run, chosen)
    if asked.wait is None and asked.granted is not None:
        headers["preference-applied"] = f"wait={asked.granted}"
    if not matches_none(headers["etag"], asked.if_none_match):
        return Response(status_code=304, headers=headers)
    details = await service.details(
        poller.identity, run, include_input_data=asked.include_input_data
    )
    body = poll_body(
        run, chosen.form, include_node_outputs=asked.include_node_outputs, details=details
    )
    return Response(body, media_type="application/json", headers=headers)


def _headers(run: Run, chosen: ChosenFormat) -> dict[str, str]:
    headers = {
        "etag": run_etag(run, chosen.form),
        "cache-control": "private, no-cache",
        "vary": "Prefer, Sec-Fetch-Mode",
        HEADER: chosen.value,
    }
    if not run.ended:
        waited = (now() - run.created_at).total_seconds()
        headers["retry-after"] = str(retry_after(waited))
    elif timing := server_timing(run):
        headers["server-timing"] = timing.decode()
    return headers


def _accepted(run: Run, chosen: ChosenFormat, body: bytes) -> Response:
    headers = {"location": run_location(run.id), "retry-after": "1", HEADER: chosen.value}
    return Response(body, 202, headers, "application/json")
