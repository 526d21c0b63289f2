"""The body of a call: `{"input_data": {…}}`; an empty body means `{}`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.errors import GatewayError
from gateway.flows.input_validator import InputSelection, WrittenInput
from gateway.web.json_body import MAX_DEPTH, check_depth, count_values
from protos import large_json
from protos.errors import ErrorCode
from protos.large_json import NumberArray

# Any: a JSON object, whose values the flow's own schema describes; large arrays are NumberArrays
InputData = dict[str, Any]

_JSON = (b"application/json", b"text/json")
MAX_BATCH_ITEMS = 1_000
"""Of one batch."""


def parse_body(body: bytes, headers: Mapping[bytes, bytes], *, plain: bool = False) -> InputData:
    """Return `input_data`, `{}` where there is none and nothing that may be meant for it.

    With `plain`, large arrays are lists, else NumberArrays.

    Raises:
        GatewayError: UNSUPPORTED_MEDIA_TYPE, INVALID_JSON or INVALID_REQUEST.
    """
    if not body:
        return {}
    document = _parse(body, headers, plain=plain)
    input_data = document.get("input_data", _ABSENT)
    if type(input_data) is dict:
        return input_data
    if input_data is _ABSENT:
        if document:
            raise GatewayError(ErrorCode.INVALID_REQUEST, _outside(next(iter(document))))
        return {}
    message = f"input_data: expected an object, got {_kind(input_data)}"
    raise GatewayError(ErrorCode.INVALID_REQUEST, message)


def write_input(
    body: bytes, headers: Mapping[bytes, bytes], selection: InputSelection
) -> WrittenInput:
    """Return what a flow receives of a large `input_data`; raises as `parse_body`."""
    input_data = parse_body(body, headers, plain=True)
    return replace(selection.write(input_data), values=count_values(input_data))


def parse_batch(body: bytes, headers: Mapping[bytes, bytes]) -> list[bytes]:
    """Return the items of a batch, each as the body of a call; raises as `parse_body`."""
    items = _parse(body, headers, plain=True).get("input_data", _ABSENT) if body else _ABSENT
    if type(items) is not list:
        message = f"input_data: expected an array of objects, got {_kind(items)}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    if not 0 < len(items) <= MAX_BATCH_ITEMS:
        message = f"input_data: expected 1 to {MAX_BATCH_ITEMS} items, got {len(items)}"
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return [orjson.dumps({"input_data": item}) for item in items]


_ABSENT = object()
_MAX_SHOWN = 80


def _parse(body: bytes, headers: Mapping[bytes, bytes], *, plain: bool) -> dict[str, Any]:
    content_type = headers.get(b"content-type")
    if content_type is not None and not content_type.startswith(_JSON):
        _check_media_type(content_type)
    try:
        if len(body) >= large_json.LARGE_BYTES and not plain:
            document = large_json.loads(body, check_depth)
        else:
            if len(body) > 2 * MAX_DEPTH:  # each level takes two brackets
                check_depth(body)
            document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON: {error}"
        raise GatewayError(ErrorCode.INVALID_JSON, message) from None
    if type(document) is not dict:
        message = 'the body: expected an object such as {"input_data": {}}, got ' + _kind(document)
        raise GatewayError(ErrorCode.INVALID_REQUEST, message)
    return document


_KINDS: Mapping[type, str] = {
    dict: "an object",
    list: "an array",
    NumberArray: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def _outside(member: str) -> str:
    """Return what to do with a member where `input_data` is missing."""
    shown = member[:_MAX_SHOWN]
    return (
        f"input_data: missing, and the body has '{shown}', which belongs inside it: "
        f'{{"input_data": {{"{shown}": …}}}}'
    )


def _kind(value: object) -> str:
    return "nothing" if value is _ABSENT else _KINDS.get(type(value), "null")


def _check_media_type(content_type: bytes) -> None:
    media = content_type.partition(b";")[0].strip().lower()
    if media not in _JSON and not media.endswith(b"+json"):
        shown = media.decode("latin-1")[:80]
        message = f"Content-Type: expected application/json, got '{shown}'"
        raise GatewayError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
