"""The routes of the OpenAPI document, and plausible requests for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway.in_process_gateway import flow_json

Things = Mapping[str, Any]
"""Name of a parameter or a field → what to send: Any, ids and numbers."""

_PLAIN = {"string": "mine", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the document."""

    method: str
    path: str
    operation: Mapping[str, Any]
    document: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """The names in the path."""
        return re.findall(r"\{(\w+)\}", self.path)

    async def ask(self, client: httpx.AsyncClient, things: Things) -> httpx.Response:
        """Send a request that names `things` wherever it can: in path, query and body."""
        path = re.sub(r"\{(\w+)\}", lambda found: str(things[found[1]]), self.path)
        query = {
            parameter["name"]: things[parameter["name"]]
            for parameter in self.operation.get("parameters", ())
            if parameter["in"] == "query" and parameter["name"] in things
        }
        body = self._body(things)
        return await client.request(self.method, path, params=query, json=body)

    # Any: a document
    def _body(self, things: Things) -> Any:
        content = self.operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else self._sample(schema, things)

    # Any: a JSON schema, and what it describes
    def _sample(self, schema: Mapping[str, Any], things: Things) -> Any:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._sample(self.document["components"]["schemas"][name], things)
        if "anyOf" in schema:
            return self._sample(schema["anyOf"][0], things)
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") != "object":
            return _PLAIN[schema.get("type", "string")]
        sample = {}
        for name, field in schema.get("properties", {}).items():
            if name in things:
                sample[name] = things[name]
            elif name in schema.get("required", ()):
                sample[name] = self._sample(field, things)
        return sample


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Return every operation of an OpenAPI document."""
    return [
        Route(method.upper(), path, operation, document)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def drawn(things: Things, name: str) -> dict[str, Any]:
    """Return `things` with the fields that a flow has, for bodies that are flows."""
    flow = flow_json()
    return {**things, "name": name, "nodes": flow["nodes"], "edges": flow["edges"]}
