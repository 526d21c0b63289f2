"""The configuration of http_request. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.flows.config_fields import (
    EXPRESSION_MAP,
    NON_BLANK,
    ConfigForm,
    Widget,
    choice_field,
    count_field,
    custom_field,
    expressions_field,
    number_field,
    optional_text_field,
    text_field,
)
from gateway.flows.config_reader import ConfigReader
from gateway.flows.validation import pointer_token

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_RESPONSES = ("auto", "json", "text", "none")
_MEBIBYTE = 1024 * 1024
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_RESERVED = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_STATUS = re.compile(r"[1-5](xx|[0-9][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """The configuration: what to send, and how to read the response."""

    method: str
    url: str
    """Template; inserted values are percent-encoded."""
    query: Mapping[str, str]
    """Name → expression, appended to the URL; null is omitted, a list repeats the name."""
    headers: Mapping[str, str]
    """Name → template."""
    json: str | Mapping[str, str] | None
    """An expression, or field → expression, sent as JSON."""
    text: str | None
    """Template, sent as text."""
    response: str
    """`auto` (by content type), `json`, `text`, or `none`, which ignores the body."""
    expect: Sequence[str]
    """Statuses that count as success, such as `2xx` or `404`."""
    timeout_seconds: float
    max_bytes: int


def read_config(reader: ConfigReader) -> HttpRequest:
    """Return the configuration and report its errors."""
    reader.allow_only(FORM.names)
    if {"json", "text"} <= set(reader.members):
        reader.add_error("text", "expected either json or text")
    return HttpRequest(
        method=_METHOD.read(reader),
        url=_URL.read(reader),
        query=_QUERY.read(reader) or {},
        headers=_HEADERS.read(reader),
        json=_JSON.read(reader),
        text=_TEXT.read(reader),
        response=_RESPONSE.read(reader),
        expect=_EXPECT.read(reader),
        timeout_seconds=_TIMEOUT.read(reader),
        max_bytes=_MAX_BYTES.read(reader),
    )


def _read_headers(reader: ConfigReader) -> Mapping[str, str]:
    headers = reader.texts("headers", "a string")
    for name in headers:
        if not _HEADER.fullmatch(name) or name.lower() in _RESERVED:
            reader.add_error(
                f"headers/{pointer_token(name)}",
                "expected a valid header name that is not set by the client",
            )
    return headers


def _read_json(reader: ConfigReader) -> str | Mapping[str, str] | None:
    if isinstance(reader.members.get("json"), str):
        return reader.text("json", "an expression")
    return reader.expressions("json")


def _read_expect(reader: ConfigReader) -> Sequence[str]:
    values = reader.members.get("expect", ["2xx"])
    found = [str(one) for one in values] if isinstance(values, list) else []
    if not found or not all(_STATUS.fullmatch(one) for one in found):
        reader.add_error("expect", 'expected a list of statuses, such as ["2xx", 404]')
    return found


_METHOD = choice_field(
    "method", "Method", "The method of the request.", choices=_METHODS, default="GET"
)
_URL = text_field(
    "url",
    "URL",
    "Where to send it; values of expressions in {{ }} are percent-encoded.",
    expected="a URL, such as 'https://example.com/{{ input.id }}'",
    widget=Widget.TEMPLATE,
)
_QUERY = expressions_field(
    "query", "Query", "Name → expression, appended to the URL; null is left out."
)
_HEADERS = custom_field(
    "headers",
    "Headers",
    "Name → text with expressions in {{ }}.",
    widget=Widget.TEMPLATES,
    schema={
        "type": "object",
        "propertyNames": {"pattern": f"^{_HEADER.pattern}$"},
        "additionalProperties": NON_BLANK,
    },
    read=_read_headers,
)
_JSON = custom_field(
    "json",
    "JSON body",
    "An expression, or field → expression, sent as JSON.",
    widget=Widget.EXPRESSIONS,
    schema={"anyOf": [NON_BLANK, EXPRESSION_MAP]},
    read=_read_json,
)
_TEXT = optional_text_field(
    "text",
    "Text body",
    "Text with expressions in {{ }}, sent as text.",
    expected="text",
    widget=Widget.TEMPLATE,
)
_RESPONSE = choice_field(
    "response",
    "Response",
    "How the response is read: auto is by its content type.",
    choices=_RESPONSES,
    default="auto",
)
_EXPECT = custom_field(
    "expect",
    "Expected statuses",
    "Statuses that count as success, such as 2xx or 404.",
    widget=Widget.STATUSES,
    schema={
        "type": "array",
        "items": {
            "type": ["string", "integer"],
            "pattern": f"^{_STATUS.pattern}$",
            "minimum": 100,
            "maximum": 599,
        },
        "minItems": 1,
        "default": ["2xx"],
    },
    read=_read_expect,
)
_TIMEOUT = number_field(
    "timeout_seconds",
    "Timeout",
    "Seconds within which the response must arrive.",
    default=30.0,
    minimum=0.001,
    maximum=3600,
)
_MAX_BYTES = count_field(
    "max_bytes",
    "Largest response",
    "Bytes that the response may have.",
    default=_MEBIBYTE,
    minimum=1,
    maximum=64 * _MEBIBYTE,
)
FORM = ConfigForm(
    fields=(
        *(_METHOD, _URL, _QUERY, _HEADERS, _JSON, _TEXT),
        *(_RESPONSE, _EXPECT, _TIMEOUT, _MAX_BYTES),
    ),
    exclusive=("json", "text"),
)
