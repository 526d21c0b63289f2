"""The schemas of a flow's nodes for the OpenAPI document: one of each node type. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.flows.config_fields import ConfigForm, Json
from gateway.flows.failure_policy import ON_ERROR_SCHEMA, RETRY_FORM
from gateway.flows.node_types.handler import NodeHandler
from gateway.flows.node_types.registry import HANDLERS
from gateway.flows.spec import ID_PATTERN

_PREFIX = "#/components/schemas/"
NODE = f"{_PREFIX}FlowNode"
"""Where the document has the schema of a node."""


def node_schemas() -> Mapping[str, Json]:
    """Return the schemas of nodes and of what they have, by their names in the document."""
    names = {node_type: _camel(node_type) for node_type in HANDLERS}
    schemas: dict[str, Json] = {
        "FlowNode": {
            "title": "FlowNode",
            "description": "A node of a flow: `type` says what its `config` has.",
            "oneOf": [{"$ref": f"{_PREFIX}{name}Node"} for name in names.values()],
            "discriminator": {
                "propertyName": "type",
                "mapping": {kind: f"{_PREFIX}{name}Node" for kind, name in names.items()},
            },
        },
        "NodeRetry": {
            "title": "NodeRetry",
            "description": "How often a node that failed is tried again.",
            **RETRY_FORM.schema(),
        },
        "NodeOnError": {
            "title": "NodeOnError",
            "description": "What happens if a node has failed; default: the run fails.",
            "oneOf": [
                # one enumeration: generators do not tell several constants apart
                {
                    "type": "string",
                    "enum": [each["const"] for each in ON_ERROR_SCHEMA["oneOf"] if "const" in each],
                },
                {"$ref": f"{_PREFIX}NodeFallback"},
            ],
        },
        "NodeFallback": {
            "title": "NodeFallback",
            "type": "object",
            "description": "The flow continues with a value.",
            "required": ["fallback"],
            "properties": {"fallback": {"description": "Replaces the node's output."}},
            "additionalProperties": False,
        },
    }
    for node_type, name in names.items():
        handler = HANDLERS[node_type]
        schemas |= _configs(handler, name)
        schemas[f"{name}Node"] = _node(handler, name)
    return schemas


# Any: each type has its own configuration class
def _node(handler: NodeHandler[Any], name: str) -> Json:
    return {
        "type": "object",
        "title": f"{name}Node",
        "description": handler.shown.description,
        "required": ["id", "type", *(["config"] if _is_needed(handler.form) else [])],
        "properties": {
            "id": {
                "type": "string",
                "pattern": f"^{ID_PATTERN}$",
                "description": "What edges and expressions call the node; unique in the flow.",
            },
            "type": {
                "type": "string",
                "const": handler.type,
                "description": f"Always `{handler.type}`.",
            },
            "name": {"description": "The node's name, for people, if it is a text."},
            "config": {
                "$ref": f"{_PREFIX}{name}Config",
                "description": "What the node does.",
            },
            "retry": {
                "anyOf": [{"$ref": f"{_PREFIX}NodeRetry"}, {"type": "null"}],
                "description": "How often the node is tried again if it failed.",
            },
            "on_error": {
                "$ref": f"{_PREFIX}NodeOnError",
                "description": "What happens if the node has failed.",
            },
        },
        "additionalProperties": True,  # editors keep positions here
    }


# Any: as above
def _configs(handler: NodeHandler[Any], name: str) -> Mapping[str, Json]:
    """Return the schema of a configuration, and of its options, which generators need names for."""
    title = f"{name}Config"
    description = f"The configuration of a node of type `{handler.type}`."
    schema = handler.form.schema()
    if not handler.form.options:
        return {title: {**_members(schema), "title": title, "description": description}}
    options = {
        f"{name}{_camel(option.fields[0].name)}Config": _members(described)
        for option, described in zip(handler.form.options, schema["oneOf"], strict=True)
    }
    references = [{"$ref": f"{_PREFIX}{option}"} for option in options]
    return {
        title: {"title": title, "description": description, "oneOf": references},
        **{option: {**described, "title": option} for option, described in options.items()},
    }


def _is_needed(form: ConfigForm) -> bool:
    """Whether a configuration without members is refused."""
    return bool(form.options) or any(field.required for field in form.fields)


def _members(schema: Json) -> Json:
    members = {name: _member(member) for name, member in schema["properties"].items()}
    described = {**schema, "properties": members}
    if "not" in schema:  # linters want what is required to be among the properties
        both = schema["not"]["required"]
        described["not"] = {"properties": {name: {} for name in both}, "required": both}
    return described


def _member(schema: Json) -> Json:
    """Return a member's schema without its title, and with null where it has an object.

    Readers take null as if the member were absent. Generators make names of titles.
    """
    schema = {name: value for name, value in schema.items() if name != "title"}
    if schema.get("type") == "object":
        return {"additionalProperties": True, **schema, "type": ["object", "null"]}
    if {"object"} & {each.get("type") for each in schema.get("anyOf", ())}:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema


def _camel(node_type: str) -> str:
    return "".join(word.title() for word in node_type.split("_"))
