"""The routes of the OpenAPI document, and plausible requests for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway.in_process_gateway import flow_json

ResourceIds = Mapping[str, Any]
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

    async def ask(self, client: httpx.AsyncClient, resources: ResourceIds) -> httpx.Response:
        """Send a request that names `resources` wherever it can: in path, query and body."""
        path = re.sub(r"\{(\w+)\}", lambda found: str(resources[found[1]]), self.path)
        query = {
            parameter["name"]: resources[parameter["name"]]
            for parameter in self.operation.get("parameters", ())
            if parameter["in"] == "query"
            and parameter["name"] in resources
            and self._may_be(resources[parameter["name"]], parameter["schema"])
        }
        body = self._body(resources)
        return await client.request(self.method, path, params=query, json=body)

    def _may_be(self, value: object, schema: Mapping[str, Any]) -> bool:
        """Whether a parameter of that schema is more than a choice without `value`."""
        if "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return value in schema.get("enum", [value])

    # Any: a document
    def _body(self, resources: ResourceIds) -> Any:
        content = self.operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        return None if schema is None else self._sample(schema, resources)

    # Any: a JSON schema, and what it describes
    def _sample(self, schema: Mapping[str, Any], resources: ResourceIds) -> Any:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            return self._sample(self.document["components"]["schemas"][name], resources)
        if "anyOf" in schema:
            return self._sample(schema["anyOf"][0], resources)
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") != "object":
            return _PLAIN[schema.get("type", "string")]
        sample = {}
        for name, field in schema.get("properties", {}).items():
            if name in resources:
                sample[name] = resources[name]
            elif name in schema.get("required", ()):
                sample[name] = self._sample(field, resources)
        return sample


def is_readiness(path: str) -> bool:
    """Whether a path is a probe that answers 503 with its own body where something is not ready."""
    return path.endswith("/ready") or path.startswith("/readyz")


def routes_of(document: Mapping[str, Any]) -> list[Route]:
    """Return every operation of an OpenAPI document."""
    return [
        Route(method.upper(), path, operation, document)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def drawn(resources: ResourceIds, name: str) -> dict[str, Any]:
    """Return `resources` with the fields that a flow has, for bodies that are flows."""
    flow = flow_json()
    return {**resources, "name": name, "nodes": flow["nodes"], "edges": flow["edges"]}
