"""The members of a node's configuration: how each is read, and how an editor shows it. Pure.

Both come from one definition, so that a form accepts what the reader accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from gateway.flows.config_reader import ConfigReader

T = TypeVar("T")

Json = dict[str, Any]
"""Any: JSON Schema (2020-12)."""

NON_BLANK: Mapping[str, Any] = {"type": "string", "pattern": r"\S"}
EXPRESSION_MAP: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": NON_BLANK,
    "minProperties": 1,
}


class Widget(StrEnum):
    """How an editor shows a member."""

    TEXT = "text"
    NUMBER = "number"
    CHOICE = "choice"
    EXPRESSION = "expression"
    EXPRESSIONS = "expressions"
    """Name → expression."""
    TEMPLATE = "template"
    """Text with expressions in `{{ }}`."""
    TEMPLATES = "templates"
    """Name → template."""
    JSON = "json"
    JSON_SCHEMA = "json_schema"
    MODEL = "model"
    MODEL_VERSION = "model_version"
    FUNCTION = "function"
    """The name of an installed Python node."""
    CASES = "cases"
    STATUSES = "statuses"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigField(Generic[T]):
    """One member of a configuration."""

    name: str
    widget: Widget
    schema: Mapping[str, Any]
    """JSON Schema of the value, with title and description."""
    read: Callable[[ConfigReader], T]
    """Return the value, or report an error and return a default."""
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigOption:
    """Members that exclude those of the form's other options. The first one is required."""

    title: str
    fields: Sequence[ConfigField[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigForm:
    """The members of a configuration: `fields`, or those of one of `options`."""

    fields: Sequence[ConfigField[Any]] = ()
    options: Sequence[ConfigOption] = ()
    exclusive: Sequence[str] = ()
    """Two members of which at most one may be set."""
    is_closed: bool = True
    """Whether other members are refused."""

    @property
    def all_fields(self) -> Sequence[ConfigField[Any]]:
        """The members, in the order in which an editor shows them."""
        return [*self.fields, *(field for option in self.options for field in option.fields)]

    @property
    def names(self) -> Collection[str]:
        """The names of all members."""
        return {field.name for field in self.all_fields}

    def schema(self) -> Json:
        """Return the JSON Schema of the configuration."""
        if self.options:
            options = [{"title": each.title, **self._option(each)} for each in self.options]
            return {"type": "object", "oneOf": options}
        required = [field.name for field in self.fields if field.required]
        exclusive = {"not": {"required": list(self.exclusive)}} if self.exclusive else {}
        return {**self._object(self.fields, required), **exclusive}

    def _option(self, option: ConfigOption) -> Json:
        return self._object(option.fields, [option.fields[0].name])

    def _object(self, fields: Sequence[ConfigField[Any]], required: Sequence[str]) -> Json:
        schema: Json = {
            "type": "object",
            "properties": {field.name: dict(field.schema) for field in fields},
        }
        if required:
            schema["required"] = list(required)
        if self.is_closed:
            schema["additionalProperties"] = False
        return schema


def custom_field(
    name: str,
    title: str,
    description: str,
    *,
    widget: Widget,
    schema: Mapping[str, Any],
    read: Callable[[ConfigReader], T],
    required: bool = False,
) -> ConfigField[T]:
    """Return a member with a reader of its own."""
    shown = {"title": title, "description": description, **schema}
    return ConfigField(name=name, widget=widget, schema=shown, read=read, required=required)


def text_field(
    name: str, title: str, description: str, *, expected: str, widget: Widget = Widget.TEXT
) -> ConfigField[str]:
    """Return a required, non-blank string."""
    return custom_field(
        name,
        title,
        description,
        widget=widget,
        schema=NON_BLANK,
        read=lambda reader: reader.text(name, expected),
        required=True,
    )


def optional_text_field(
    name: str, title: str, description: str, *, expected: str, widget: Widget = Widget.TEXT
) -> ConfigField[str | None]:
    """Return a non-blank string that may be left out."""
    return custom_field(
        name,
        title,
        description,
        widget=widget,
        schema=NON_BLANK,
        read=lambda reader: reader.text(name, expected) if name in reader.members else None,
    )


def choice_field(
    name: str, title: str, description: str, *, choices: Sequence[str], default: str
) -> ConfigField[str]:
    """Return one of some strings."""
    return custom_field(
        name,
        title,
        description,
        widget=Widget.CHOICE,
        schema={"type": "string", "enum": list(choices), "default": default},
        read=lambda reader: reader.choice(name, choices, default),
    )


def number_field(
    name: str, title: str, description: str, *, default: float, minimum: float, maximum: float
) -> ConfigField[float]:
    """Return a number within limits."""
    return custom_field(
        name,
        title,
        description,
        widget=Widget.NUMBER,
        schema={"type": "number", "minimum": minimum, "maximum": maximum, "default": default},
        read=lambda reader: reader.number(name, default, minimum=minimum, maximum=maximum),
    )


def count_field(
    name: str, title: str, description: str, *, default: int, minimum: int, maximum: int
) -> ConfigField[int]:
    """Return a whole number within limits."""
    return custom_field(
        name,
        title,
        description,
        widget=Widget.NUMBER,
        schema={"type": "integer", "minimum": minimum, "maximum": maximum, "default": default},
        read=lambda reader: reader.count(name, default, minimum=minimum, maximum=maximum),
    )


def object_field(
    name: str, title: str, description: str, *, widget: Widget = Widget.JSON
) -> ConfigField[Mapping[str, Any] | None]:
    """Return a JSON object that may be left out (Any: JSON)."""
    return custom_field(
        name,
        title,
        description,
        widget=widget,
        schema={"type": "object"},
        read=lambda reader: reader.object(name),
    )


def expressions_field(
    name: str, title: str, description: str
) -> ConfigField[Mapping[str, str] | None]:
    """Return expressions by name, which may be left out."""
    return custom_field(
        name,
        title,
        description,
        widget=Widget.EXPRESSIONS,
        schema=EXPRESSION_MAP,
        read=lambda reader: reader.expressions(name),
    )
