"""http_request: calls an HTTP service."""

from __future__ import annotations

from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from gateway.flows.cel.template import Template
from gateway.flows.cel.values import Expression, ExpressionMap, NodeValues
from gateway.flows.compile_context import CompileContext
from gateway.flows.node_types.handler import (
    NodeError,
    NodeHandler,
    Perform,
    Prepare,
    RunContext,
)
from gateway.flows.node_types.http_request_config import FORM, HttpRequest, read_config
from gateway.flows.node_types.presentation import NodeGroup, NodePresentation
from gateway.outbound.messages import OutboundRequest, OutboundResponse
from protos.non_finite import as_strings, dump_with_strings

_RETRYABLE = frozenset({408, 425, 429, 502, 503, 504})
_SHOWN = 200
_MAX_RETRY_AFTER = 300.0


class _Request:
    """The request of one node, compiled."""

    def __init__(self, config: HttpRequest, context: CompileContext) -> None:
        self._url = context.template("url", config.url)
        self._query = context.fields("query", config.query)
        context.is_remote |= bool(config.query)  # encoding values takes time by their length
        self._headers = {
            name: context.template(f"headers/{name}", text) for name, text in config.headers.items()
        }
        self._json: Expression | ExpressionMap | None = None
        if isinstance(config.json, str):
            self._json = context.expression("json", config.json)
        elif config.json is not None:
            self._json = context.fields("json", config.json)
        self._text: Template | None = None
        if config.text is not None:
            self._text = context.template("text", config.text)

    def prepare(self, values: NodeValues) -> dict[str, Any]:
        """Return `url`, `headers` and `body`, each as text; the body may be null."""
        headers = {name: _header(name, text, values) for name, text in self._headers.items()}
        body = content_type = None
        if self._json is not None:
            body, content_type = _json_body(self._json.evaluate(values)), "application/json"
        elif self._text is not None:
            body, content_type = self._text.render(values), "text/plain; charset=utf-8"
        if content_type and not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = content_type
        return {"url": self._full_url(values), "headers": headers, "body": body}

    def _full_url(self, values: NodeValues) -> str:
        # Values are quoted completely, so that a caller cannot change the host or path.
        url = self._url.render(values, lambda value: quote(value, safe=""))
        pairs = [
            pair
            for name, value in self._query.evaluate(values).items()
            for pair in _query_pairs(name, value)
        ]
        if not pairs:
            return url
        return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs)}"


def _prepare(config: HttpRequest, context: CompileContext) -> Prepare:
    return _Request(config, context).prepare


def _perform(config: HttpRequest, context: CompileContext) -> Perform:
    node_id = context.node_id

    async def send(run: RunContext, prepared: dict[str, Any]) -> dict[str, Any]:
        """Send the request; return status, headers and body of the response."""
        body = prepared["body"]
        call = OutboundRequest(
            method=config.method,
            url=prepared["url"],
            headers=prepared["headers"],
            body=None if body is None else body.encode(),
            max_bytes=config.max_bytes,
            node_id=node_id,
        )
        deadline = min(run.deadline, monotonic() + config.timeout_seconds)
        reply = await run.ports.http.send(call, deadline)
        _check_status(config, reply)
        return {
            "status": reply.status,
            "headers": dict(reply.headers),
            "body": _body(reply, config.response),
        }

    return send


def _check_status(config: HttpRequest, reply: OutboundResponse) -> None:
    status = str(reply.status)
    if status in config.expect or f"{status[0]}xx" in config.expect:
        return
    shown = reply.body[:_SHOWN].decode(errors="replace")
    expected = ", ".join(config.expect)
    raise NodeError(
        "http_status",
        f"the service answered {status}, expected {expected}: {shown}",
        retryable=reply.status in _RETRYABLE,
        retry_after=_retry_after(reply),
    )


def _json_body(value: Any) -> str:
    try:
        return dump_with_strings(value).decode()
    except TypeError as error:
        raise NodeError("invalid_value", f"json: {error}") from None


def _header(name: str, template: Template, values: NodeValues) -> str:
    value = template.render(values)
    if not value.isprintable():
        message = f"headers: the value of '{name}' contains a control character"
        raise NodeError("invalid_value", message, unfit_value=True, reads=template.roots)
    return value


def _query_pairs(name: str, value: Any) -> list[tuple[str, str]]:
    values = value if isinstance(value, list) else [value]
    return [
        (name, one if isinstance(one, str) else _text(one)) for one in values if one is not None
    ]


def _text(value: Any) -> str:
    """Return a value in a URL: NaN and infinities without quotes."""
    shown = as_strings(value)
    return shown if isinstance(shown, str) else orjson.dumps(shown).decode()


def _body(reply: OutboundResponse, response: str) -> Any:
    if response == "none" or not reply.body:
        return None
    media = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    json = response == "json" or media == "application/json" or media.endswith("+json")
    if response == "text" or not json:
        return reply.body.decode(errors="replace")
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError as error:
        message = f"the response body is not valid JSON: {error}"
        raise NodeError("invalid_reply", message) from None


def _retry_after(reply: OutboundResponse) -> float | None:
    text = reply.headers.get("retry-after", "")
    return min(float(text), _MAX_RETRY_AFTER) if text.isdecimal() else None


HANDLER = NodeHandler(
    type="http_request",
    shown=NodePresentation(
        title="HTTP request",
        description="Calls an HTTP service.",
        icon="globe",
        group=NodeGroup.INTEGRATION,
        initial={"url": "https://"},
    ),
    form=FORM,
    read=read_config,
    prepare=_prepare,
    perform=_perform,
)
