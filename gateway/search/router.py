"""`/node/search/`; it needs a `manage` key or a session."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from gateway.auth.access import Manager
from gateway.dependencies import from_app
from gateway.operations import DocumentedRouter
from gateway.search.schemas import SearchOut
from gateway.search.service import SearchService

router = DocumentedRouter(tags=["Search"])


@router.get("/node/search/", operation_id="search")
async def search(
    service: Annotated[SearchService, from_app(SearchService)],
    actor: Manager,
    q: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")],
    limit: Annotated[int, Query(ge=1, le=50)] = 20,
) -> SearchOut:
    """Find your flows, deployments, models, runs, API keys and webhook deliveries.

    `q` is the beginning of a word of a name, in upper or lower case; the first 8 characters of an
    id or more; the mask of an API key; the id of a webhook delivery. A complete API key is refused.
    """
    return SearchOut.of(await service.find(actor.profile_id, q, limit))
