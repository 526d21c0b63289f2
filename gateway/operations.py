"""The operations of the REST API: tags and ids in the OpenAPI document, and what precedes a body.

FastAPI reads and parses a request's body before it calls any dependency, so that unauthenticated
clients could have large documents parsed. Routes of a `DocumentedRouter` first run the checks that
need only the headers, and then know how large the body may be. FastAPI also passes over parameters
of the query that a route does not have: a filter that is misspelt would select everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from gateway.errors import GatewayError
from protos.errors import ErrorCode

MANAGEMENT_BODY_BYTES = 2**20
"""Largest body of a route without a `BodyLimit`."""
KNOWN_QUERIES_ONLY = ("/node/", "/v1/")
"""What the paths of routes begin with that refuse query parameters which they do not have."""
_SHOWN_CHARACTERS = 40

DESCRIPTION = """Deploy flows and ONNX models behind API endpoints: sync, async or fast.

Requests to `/node/` and `/v1/` carry an API key as `X-API-Key` or bearer token, or a console
session. Errors are `application/problem+json`; programs use their `code`. Those of `/v2`, the Open
Inference Protocol, are `{"error": "…"}`. Every response has an `X-Request-ID`. The last `/` of a
path is optional.
"""

_DESCRIPTIONS = {
    "Trigger": "Call deployments.",
    "Calls": "Failed and slow calls of deployments, by request id.",
    "Flow runs": "Runs of flows: read, wait, stream, cancel, retry.",
    "Flows": "Drafts of nodes and edges; a deployment runs a snapshot.",
    "Deployments": "Flows behind URLs, their settings and their versions.",
    "Models": "ONNX files, in versions, with labels.",
    "Inference servers": "The processes that run models.",
    "Hosts": "The machines that run inference servers; for admins and owners.",
    "Search": "Your objects by name, id or masked key.",
    "Live updates": "What changes of your resources, as server-sent events.",
    "API keys": "Credentials of programs: scopes, expiry, rotation.",
    "Sessions": "Console login and logout.",
    "Console": "What the web console asks first.",
    "Users": "Users and their roles; for admins and owners.",
    "Usage": "Calls, errors and latencies by deployment, version and key.",
    "Webhooks": "Events about runs, sent to your URL.",
    "Audit log": "Who did what, when and from where.",
    "Open Inference Protocol": "Models without flows, as clients of KServe and Triton call them.",
    "Problems": "The error codes, with advice.",
    "Operations": "Probes, the state of the installation, and metrics for Prometheus.",
}
TAGS = [{"name": name, "description": text} for name, text in _DESCRIPTIONS.items()]
_VERBS = {"GET": "get", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}


# Any, here and below: dependencies of every signature
Dependency = TypeVar("Dependency", bound=Callable[..., Any])
Check = Callable[[Request], Awaitable[None]]
Security = Sequence[dict[str, list[str]]]
"""Alternatives, as OpenAPI's Security Requirement Objects."""
_checks: dict[Callable[..., Any], Check] = {}
_security: dict[Callable[..., Any], Security] = {}


def before_body(check: Check) -> Callable[[Dependency], Dependency]:
    """Return a decorator for a dependency that needs nothing but the request's headers.

    A route with that dependency awaits `check` before it reads the body. The dependency itself
    returns what `check` has left in the request's state.
    """

    def register(dependency: Dependency) -> Dependency:
        _checks[dependency] = check
        return dependency

    return register


def accepts(security: Security) -> Callable[[Dependency], Dependency]:
    """Return a decorator for a dependency that authenticates: what the document says of its routes.

    FastAPI's own way is a dependency for each scheme, which it would analyse again for each route
    and call in each request.
    """

    def register(dependency: Dependency) -> Dependency:
        _security[dependency] = security
        return dependency

    return register


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """The largest body of a route, as one of the dependencies of the route or its router.

    The route's own takes precedence over its router's.
    """

    max_bytes: int | None
    """None: the route writes the body to disk as it arrives, and limits it itself."""

    async def __call__(self) -> None:
        """Do nothing: the route applies the limit before it reads the body."""


@dataclass(frozen=True, slots=True)
class QueryPrefix:
    """What names of query parameters begin with that a route reads itself, as a dependency."""

    prefix: str

    async def __call__(self) -> None:
        """Do nothing: the route lets them pass."""


class DocumentedRoute(APIRoute):
    """A route that checks a request's headers and query before it reads the body."""

    # Any: the parameters of APIRoute
    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the parameters of APIRoute."""
        super().__init__(*args, **options)
        for call in dict.fromkeys(_calls_of(self.dependant)):
            if call in _security:
                extra = self.openapi_extra or {}
                security = [*_security[call], *extra.get("security", ())]
                self.openapi_extra = {**extra, "security": security}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, with the checks before it."""
        handle = super().get_route_handler()
        calls = list(_calls_of(self.dependant))
        checks = list(dict.fromkeys(_checks[call] for call in calls if call in _checks))
        limits = [call.max_bytes for call in calls if isinstance(call, BodyLimit)]
        max_bytes = limits[-1] if limits else MANAGEMENT_BODY_BYTES
        names = sorted(set(_query_names(self.dependant)))
        prefixes = tuple(call.prefix for call in calls if isinstance(call, QueryPrefix))
        # those of the Open Inference Protocol, of probes and of scrapes may have parameters of
        # clients' own
        is_strict = self.path_format.startswith(KNOWN_QUERIES_ONLY)

        async def check_and_handle(request: Request) -> Response:
            for check in checks:
                await check(request)
            if is_strict and request.scope["query_string"]:
                _check_query(request, names, prefixes)
            request.scope["state"]["limit_body"](max_bytes)
            return await handle(request)

        return check_and_handle


def _calls_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """Yield the dependencies of a route, each behind those that it depends on itself."""
    for each in dependant.dependencies:
        yield from _calls_of(each)
        if each.call is not None:
            yield each.call


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Yield the names of the query parameters of a route and its dependencies."""
    for field in dependant.query_params:
        kind = field.field_info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):  # its fields are the parameters
            yield from (each.alias or name for name, each in kind.model_fields.items())
        else:
            yield field.alias
    for each in dependant.dependencies:
        yield from _query_names(each)


def _check_query(request: Request, names: Sequence[str], prefixes: tuple[str, ...]) -> None:
    """Raise INVALID_REQUEST for a query parameter that a route does not have."""
    for name in request.query_params:
        if name not in names and not (prefixes and name.startswith(prefixes)):
            known = ", ".join([*names, *(f"{prefix}…" for prefix in prefixes)]) or "none"
            message = f"?{name[:_SHOWN_CHARACTERS]}: expected one of the parameters {known}"
            raise GatewayError(ErrorCode.INVALID_REQUEST, f"{message}, got another: leave it out")


class DocumentedRouter(APIRouter):
    """A router of `DocumentedRoute`s, whose operations are named by `operation_id`."""

    # Any: the options of APIRouter
    def __init__(self, **options: Any) -> None:
        """Take the options of APIRouter."""
        super().__init__(
            generate_unique_id_function=operation_id, route_class=DocumentedRoute, **options
        )


def operation_id(route: APIRoute) -> str:
    """Return an operation's id, such as `list_flows`, `get_flow` or `pause_deployment`.

    Generated clients name their functions so. The last word of a POST is a verb, unless it is a
    plural: then the operation creates one.
    """
    (method,) = route.methods or {"GET"}
    parts = [part for part in route.path_format.split("/") if part and part != "node"]
    words = [part for part in parts if not part.startswith("{")]
    owners, last = [_singular(word) for word in words[:-1]], words[-1]
    names_one = parts[-1].startswith("{")
    if method == "POST" and len(parts) > 1 and not last.endswith("s"):
        name = [last, *owners]
    elif method == "GET" and not names_one:
        name = ["list" if last.endswith("s") else "get", *owners, last]
    elif method == "DELETE" and not names_one:
        name = ["delete", *owners, last]
    else:
        name = [_VERBS[method], *owners, _singular(last)]
    return "_".join(name).replace("-", "_")


def _singular(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun.removesuffix("s")
