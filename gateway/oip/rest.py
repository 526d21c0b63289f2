"""`/v2` as an ASGI application; errors are `{"error": …}`, as the protocol's clients expect."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic, perf_counter

import orjson

from gateway.auth.identity import Identity
from gateway.auth.proxies import TrustedProxies
from gateway.auth.request_credentials import presented_key
from gateway.auth.session_cookie import session_token
from gateway.body_parsing.parser import LARGE_BODY_BYTES, BodyParser
from gateway.errors import GatewayError
from gateway.ids import new_id, request_id_of
from gateway.limits.rate_limit import RateLimit
from gateway.metrics import GatewayMetrics
from gateway.oip.access import ModelAccess
from gateway.oip.call_trace import CallTrace, CallTraces
from gateway.oip.data_plane import EXTENSIONS, SERVER_NAME, SERVER_VERSION, DataPlane
from gateway.oip.http_request import json_size, parse_index, parse_infer, parse_infer_copied
from gateway.oip.http_response import as_json, render_infer
from gateway.web.asgi import (
    DisconnectedError,
    Receive,
    Scope,
    Send,
    read_body,
    send_answer,
    unless_disconnected,
)
from gateway.web.problems import Answer, Headers, v2_error
from gateway.web.request_timeout import REQUEST_TIMEOUT_HEADER, parse_request_timeout
from gateway.web.unexpected_errors import as_gateway_error
from protos import open_inference_pb2 as pb
from protos.errors import ErrorCode

PREFIX = "/v2"
_MODEL = re.compile(
    r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?"
    r"(?:/(?P<verb>infer|ready|config|stats))?/?"
)
_MODEL_ROUTE = "/v2/models/{model}/infer"
_VERSION_ROUTE = "/v2/models/{model}/versions/{version}/infer"
_INDEX = re.compile(r"/v2/repository(?:/(?P<repository>[^/]+))?/index/?")
_SERVER_PATHS = {"/v2": "server", "/v2/models": "models", "/v2/health/live": "live"}
_SERVER_PATHS |= {"/v2/health/ready": "ready", "/v2/models/stats": "stats"}
_POSTS = frozenset({"infer", "index"})
_PUBLIC = frozenset({"live", "ready"})
"""Probes need no key. Probes of models do: they reveal which models exist."""
_MODE = "v2"
_SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class V2App:
    """Serves everything under `/v2`."""

    def __init__(
        self,
        plane: DataPlane,
        access: ModelAccess,
        proxies: TrustedProxies,
        metrics: GatewayMetrics,
        parser: BodyParser,
        *,
        traces: CallTraces,
        max_body_bytes: int,
    ) -> None:
        self._plane = plane
        self._access = access
        self._proxies = proxies
        self._metrics = metrics
        self._parser = parser
        self._traces = traces
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        began = perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = request_id_of(headers, new_id())
        own: Headers = [(b"x-request-id", request_id), *_SECURITY_HEADERS]
        code = None
        try:
            answer = await self._answer(scope, headers, receive, own)
        except DisconnectedError:
            return
        except Exception as error:
            failure = as_gateway_error(error, request_id)
            answer, code = v2_error(failure), failure.code
        await send_answer(send, answer, own)
        found = _MODEL.fullmatch(scope["path"])
        if found and found["verb"] == "infer":
            name = found["name"] if self._plane.has_model(found["name"]) else ""
            counted = self._metrics.for_deployment(name, _MODE)
            counted.answered(answer[0], perf_counter() - began, code)

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, own: Headers
    ) -> Answer:
        """Return the response; adds rate limit headers to `own`, also when it raises."""
        identity = None
        path, method = scope["path"], scope["method"]
        verb, found = _route(path)
        allowed = ("POST",) if verb in _POSTS else ("GET", "HEAD")
        if method not in allowed:
            message = f"{path}: expected {' or '.join(allowed)}, got {method}"
            raise GatewayError(ErrorCode.METHOD_NOT_ALLOWED, message, allowed=allowed)
        if verb not in _PUBLIC or found is not None:
            origin = partial(self._origin, scope)
            key = presented_key(headers)
            if key is None and session_token(headers) is not None:
                identity = await self._access.check_session(method, headers, origin)
            else:
                identity = await self._access.check(key, origin)
        if found is None:
            return await self._about_server(verb, identity)
        if verb == "index":
            return await self._index(identity, found["repository"] or "", headers, receive)
        name, version = found["name"], found["version"] or ""
        if verb == "infer":
            route = _VERSION_ROUTE if version else _MODEL_ROUTE
            with self._traces.rest(identity, headers, route) as trace:
                work = partial(self._infer, identity, name, version, headers, receive, trace=trace)
                return await self._limited(self._access.rate_limit(identity), own, work)
        return await self._about_model(verb, identity, name, version)

    def _origin(self, scope: Scope) -> str:
        peer = scope.get("client")
        return self._proxies.client(peer[0] if peer else "", scope["headers"])

    @staticmethod
    async def _limited(
        rate_limit: RateLimit | None, own: Headers, work: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Return the result of `work` within the rate limit."""
        if rate_limit is None:
            return await work()
        try:
            async with rate_limit.hold():
                return await work()
        finally:
            own += rate_limit.headers()

    async def _about_model(
        self, verb: str, caller: Identity | None, name: str, version: str
    ) -> Answer:
        match verb:
            case "ready":
                self._plane.check_active(caller, name, version)
                ready = self._plane.model_ready(caller, name, version)
                return _probe(ready, {"name": name, "ready": ready})
            case "config":
                return _ok(as_json((await self._plane.config(caller, name, version)).config))
            case "stats":
                return _ok(as_json(await self._plane.statistics(caller, name, version)))
            case _:
                return _ok(_metadata(await self._plane.metadata(caller, name, version)))

    async def _about_server(self, verb: str, caller: Identity | None) -> Answer:
        match verb:
            case "stats":
                return _ok(as_json(await self._plane.statistics(caller, "", "")))
            case "live":
                return _ok({"live": True})
            case "ready":
                ready = self._plane.server_ready()
                return _probe(ready, {"ready": ready})
            case "models":
                return _ok({"models": self._plane.model_names(caller)})
            case _:
                about = {"name": SERVER_NAME, "version": SERVER_VERSION}
                return _ok({**about, "extensions": EXTENSIONS})

    async def _index(
        self,
        caller: Identity | None,
        repository: str,
        headers: dict[bytes, bytes],
        receive: Receive,
    ) -> Answer:
        body = await read_body(receive, headers, self._max_body_bytes)
        index = self._plane.index(caller, repository, only_ready=parse_index(body))
        return _ok([as_json(model) for model in index.models])

    async def _infer(
        self,
        caller: Identity | None,
        name: str,
        version: str,
        headers: dict[bytes, bytes],
        receive: Receive,
        *,
        trace: CallTrace | None,
    ) -> Answer:
        body = await read_body(receive, headers, self._max_body_bytes)
        began = perf_counter()
        given = headers.get(REQUEST_TIMEOUT_HEADER)
        remaining = None if given is None else parse_request_timeout(given)
        if json_size(body, headers) > LARGE_BODY_BYTES:
            deadline = monotonic() + min(self._plane.timeout_seconds, remaining or math.inf)
            tenant = "" if caller is None else caller.profile_id
            parsed = await self._parser.run(tenant, deadline, parse_infer_copied, body, headers)
        else:
            parsed = parse_infer(body, headers)
        parsed.request.model_name = name
        parsed.request.model_version = version
        parse_seconds = perf_counter() - began
        reply = await unless_disconnected(
            receive, self._plane.infer_raw(caller, parsed.request, parsed.raws, remaining, trace)
        )
        began = perf_counter()
        answer = await render_infer(reply, parsed)
        # not before: now there is a model of this name
        self._metrics.observe_stage(name, "parse", parse_seconds)
        self._metrics.observe_stage(name, "serialise", perf_counter() - began)
        return answer


def _route(path: str) -> tuple[str, re.Match[str] | None]:
    """Return the operation, and the match of its path unless it is about the server."""
    if plain := _SERVER_PATHS.get(path.rstrip("/")):
        return plain, None
    if found := _MODEL.fullmatch(path):
        return found["verb"] or "model", found
    if found := _INDEX.fullmatch(path):
        return "index", found
    raise GatewayError(ErrorCode.NOT_FOUND, f"unknown path {path}")


def _metadata(model: pb.ModelMetadataResponse) -> dict[str, object]:
    return {
        "name": model.name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
        "properties": dict(model.properties),
    }


def _tensor(tensor: pb.ModelMetadataResponse.TensorMetadata) -> dict[str, object]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _ok(document: object) -> Answer:
    return 200, [(b"content-type", b"application/json")], orjson.dumps(document)


def _probe(ready: bool, document: object) -> Answer:
    status, headers, body = _ok(document)
    return (status, headers, body) if ready else (503, [*headers, (b"retry-after", b"1")], body)
