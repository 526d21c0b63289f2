"""`GET /node/events/`; needs a `manage` key or a session."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Header, Query, Response
from starlette.responses import StreamingResponse

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.live_updates.service import LiveUpdates
from gateway.live_updates.topics import Topic
from gateway.operations import DocumentedRouter
from gateway.web.event_streams import EventStreamResponse

MAX_SECONDS = 3600
_MAX_ID_LENGTH = 40
_TOPIC = "|".join(Topic)
_TOPICS = f"^({_TOPIC})(,({_TOPIC}))*$"

Live = Annotated[LiveUpdates, from_app(LiveUpdates)]
# Any: OpenAPI's own form
_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "description": "What to send as `Last-Event-ID`."},
        "event": {
            "type": "string",
            "description": "`ready`; `reset`: read again what you show; or `changes`.",
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "Of `changes`: `items`, each with `topic` and `id`.",
        },
    },
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": _EVENT}},
        "description": "Server-sent events, each of this form, until the session or key ends.",
    },
}
router = DocumentedRouter(prefix="/node/events", tags=["Live updates"])


@router.get("/", response_class=StreamingResponse, responses=_STREAM)
async def list_events(
    live: Live,
    actor: Manager,
    topics: Annotated[
        str, Query(description="Separated by commas.", pattern=_TOPICS, max_length=200)
    ],
    *,
    last_event_id: Annotated[str | None, Header()] = None,
    after: Annotated[
        str | None,
        Query(
            max_length=_MAX_ID_LENGTH,
            description="As `Last-Event-ID`, which precedes it, for clients without headers.",
        ),
    ] = None,
    max_seconds: Annotated[
        int, Query(ge=0, le=MAX_SECONDS, description="After which the stream ends.")
    ] = MAX_SECONDS,
) -> Response:
    """Follow changes of what you can read, as server-sent events.

    `flows`, `deployments`, `models`, `servers` and `keys` name what has changed, `runs` and
    `deliveries` also its status; `calls` are those of watched deployments, and `rehearsals` name
    the deployment. An item whose `id` is null says that something of its topic may have changed. At
    most four events a second.
    """
    wanted = frozenset(Topic(name) for name in topics.split(","))
    last = last_event_id or after
    stream = live.open(actor, wanted, last)
    events = live.events(stream, is_new=not last, seconds=max_seconds)
    return EventStreamResponse(events, partial(live.close, stream))
