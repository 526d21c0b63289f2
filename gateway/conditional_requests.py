"""ETag, If-Match and If-None-Match of routes, and how the OpenAPI document describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Header, Response

from gateway.storage.etags import matches_none, row_etag
from gateway.storage.tables import Owned

Body = TypeVar("Body")

IfMatch = Annotated[
    list[str],
    Header(
        default_factory=list,
        description="ETags, or `*`: the request is answered 412 if the current ETag is another.",
    ),
]
IfNoneMatch = Annotated[
    list[str],
    Header(
        default_factory=list,
        description="ETags, or `*`: the request is answered 304 if the current ETag is one.",
    ),
]
"""All values of the header; empty if it was not sent."""

# Any, here and below: OpenAPI's own form
Answers = dict[int | str, dict[str, Any]]

_TAGGED: Mapping[str, Any] = {
    "headers": {
        "ETag": {
            "description": "The entity tag, for `If-Match` and `If-None-Match`.",
            "schema": {"type": "string"},
        }
    }
}
CREATED: Answers = {201: {**_TAGGED}}
"""`responses` of a route that creates a resource with an ETag."""
CHANGED: Answers = {200: {**_TAGGED}}
"""`responses` of a route that changes a resource with an ETag."""
NOT_MODIFIED: Answers = {304: {"description": "As `If-None-Match` says.", **_TAGGED}}
SHOWN: Answers = {**CHANGED, **NOT_MODIFIED}
"""`responses` of a route that shows a resource with an ETag."""


def set_etag(response: Response, row: Owned) -> None:
    """Set the ETag of the response about a row."""
    response.headers["etag"] = row_etag(row)


def unless_matched(
    body: Body, row: Owned, response: Response, if_none_match: Sequence[str]
) -> Body | Response:
    """Return the body, with the row's ETag on the response; or a 304 if the client has it."""
    etag = row_etag(row)
    if matches_none(etag, if_none_match):
        response.headers["etag"] = etag
        return body
    return Response(status_code=304, headers={"etag": etag})
