"""Operation ids, from method and path: clients that are generated call their functions so."""

from __future__ import annotations

from fastapi.routing import APIRoute

_VERBS = {"POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}


def operation_id(route: APIRoute) -> str:
    """Return such as `list_flows`, `get_flow`, `pause_deployment`.

    A last word of a POST that is no plural, after a parameter, is what is done.
    """
    (method,) = route.methods or {"GET"}
    parts = [part for part in route.path_format.split("/") if part and part != "node"]
    one = parts[-1].startswith("{")
    nouns = []
    for part, following in zip(parts, [*parts[1:], ""], strict=True):
        if not part.startswith("{"):
            nouns.append(_singular(part) if following.startswith("{") else part)
    last = nouns[-1]
    if method == "POST" and not one and len(parts) > 1 and not last.endswith("s"):
        verb, nouns = last, nouns[:-1]
    elif method == "POST":
        verb, nouns = _VERBS[method], [*nouns[:-1], _singular(last)]
    elif method == "GET":
        verb = "list" if not one and last.endswith("s") else "get"
    else:
        verb = _VERBS[method]
    return "_".join([verb, *nouns]).replace("-", "_")


def _singular(noun: str) -> str:
    return noun.removesuffix("s")
