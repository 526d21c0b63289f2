"""`/problems/`: what an error code means and what to do next, for programs and for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Annotated, Any

from fastapi import Path, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.responses import HTMLResponse

from gateway.errors import GatewayError
from gateway.operations import DocumentedRouter
from gateway.web.problems import problem_name, problem_title
from gateway.web.security_headers import content_security_policy
from protos.errors import ErrorCode

_HTML, _JSON = "text/html", "application/json"
_QUOTED = re.compile("`(.*?)`")
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title} - Slipstream</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; }}</style>
<h1>{title}</h1>
<p><code>{code}</code>, HTTP status {status}</p>
<p>{meaning}</p>
<p>{again}</p>
<p>{advice}</p>
</html>
"""


class ProblemTypeOut(BaseModel):
    """One kind of failure."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """As in the bodies of errors."""
    title: str
    """What it is called, for people."""
    status: int
    """The HTTP status; a few differ under `/v2`."""
    retryable: bool
    """Whether the same call may yet succeed."""
    meaning: str
    """What has happened."""
    advice: str
    """What to do next."""


def problem_type(code: ErrorCode) -> ProblemTypeOut:
    """Return the description of an error code."""
    return ProblemTypeOut(
        code=code.value,
        title=problem_title(code),
        status=code.http_status,
        retryable=code.retryable,
        meaning=code.spec.meaning,
        advice=code.spec.advice,
    )


PROBLEM_TYPES: Mapping[str, ProblemTypeOut] = {
    problem_name(code): problem_type(code) for code in ErrorCode
}
_Name = Annotated[
    str,
    Path(
        description="The end of a problem's `docs_url`.",
        json_schema_extra={"enum": list(PROBLEM_TYPES)},
    ),
]
# Any: OpenAPI's own form
_PAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or a page if `Accept` prefers `text/html`.",
        "content": {_HTML: {"schema": {"type": "string"}}},
    }
}
router = DocumentedRouter(prefix="/problems", tags=["Problems"])


@router.get("/{problem}", response_model=ProblemTypeOut, responses=_PAGES)
async def get_problem_type(
    problem: _Name, request: Request, response: Response
) -> ProblemTypeOut | Response:
    """What an error code means, and what to do next."""
    found = PROBLEM_TYPES.get(problem)
    if found is None:
        message = f"there is no problem '{problem}': take the path of `docs_url` as it is"
        raise GatewayError(ErrorCode.NOT_FOUND, message)
    response.headers["vary"] = "Accept"
    accepted = request.headers.get("accept", "").lower()
    return _page(found) if _HTML in accepted and _JSON not in accepted else found


def _page(found: ProblemTypeOut) -> Response:
    members = {
        name: _QUOTED.sub(r"<code>\1</code>", escape(str(value)))
        for name, value in found.model_dump().items()
    }
    again = "Trying again may help." if found.retryable else "Trying again does not help."
    html = _PAGE.format(**members, again=again)
    headers = {"content-security-policy": content_security_policy(html), "vary": "Accept"}
    return HTMLResponse(html, headers=headers)
