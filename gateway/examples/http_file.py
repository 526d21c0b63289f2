"""A file of requests that editors send: JetBrains' HTTP client, VS Code's REST Client. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.examples.call_requests import RUN_VARIABLE, CallRequest, requests_of
from gateway.examples.call_target import CallTarget
from gateway.examples.choices import ExampleChoices
from gateway.examples.literals import visible
from gateway.examples.postman import KEY_VARIABLE, body_text


def http_file(target: CallTarget, choices: ExampleChoices) -> str:
    """Return the file; the variable of the key is empty."""
    head = (
        f"# {visible(target.name)} (mode {target.mode})\n"
        f"@base_url = {target.base_url}\n"
        f"@{KEY_VARIABLE} =\n"
    )
    requests = list(requests_of(target, choices))
    if any(request.starts_run for request in requests):
        head += f"# The run that a call has started; its answer has the id.\n@{RUN_VARIABLE} =\n"
    return head + "".join("\n" + "\n".join(_lines(request)) + "\n" for request in requests)


def _lines(request: CallRequest) -> Iterator[str]:
    yield f"### {request.name}"
    path = request.path.replace(f"{{{RUN_VARIABLE}}}", f"{{{{{RUN_VARIABLE}}}}}")
    yield f"{request.method} {{{{base_url}}}}{path}"
    yield f"X-API-Key: {{{{{KEY_VARIABLE}}}}}"
    yield from (f"{name}: {value}" for name, value in request.headers.items())
    if request.needs_idempotency_key:
        yield "Idempotency-Key: {{$guid}}"
    if request.body is not None:
        yield ""
        yield body_text(request.body)
