"""Operation ids, from method and path: clients that are generated call their functions so."""

from __future__ import annotations

from fastapi.routing import APIRoute

_VERBS = {"GET": "get", "POST": "create", "PUT": "replace", "PATCH": "change", "DELETE": "delete"}


def operation_id(route: APIRoute) -> str:
    """Return such as `list_flows`, `get_flow`, `pause_deployment`.

    The last word of a POST is what is done, unless it is a plural: then one more is made.
    """
    (method,) = route.methods or {"GET"}
    parts = [part for part in route.path_format.split("/") if part and part != "node"]
    words = [part for part in parts if not part.startswith("{")]
    of, last = [_singular(word) for word in words[:-1]], words[-1]
    one = parts[-1].startswith("{")
    if method == "POST" and len(parts) > 1 and not last.endswith("s"):
        name = [last, *of]
    elif method == "GET" and not one:
        name = ["list" if last.endswith("s") else "get", *of, last]
    elif method == "DELETE" and not one:
        name = ["delete", *of, last]
    else:
        name = [_VERBS[method], *of, _singular(last)]
    return "_".join(name).replace("-", "_")


def _singular(noun: str) -> str:
    return noun[:-3] + "y" if noun.endswith("ies") else noun.removesuffix("s")
