"""Messages as the JSON that Triton's REST interface has for them."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message


def as_json(message: Message) -> dict[str, Any]:
    """Return every field by its name in the .proto, also what is 0 or empty; not what is not set.

    Unlike protobuf's own JSON this has 64-bit numbers as numbers, as Triton's clients expect.
    Fields must not be maps or bytes. Any, here and below: values and descriptors of all kinds.
    """
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _value(field: Any, value: Any) -> Any:
    if field.is_repeated:
        return [_one(field, item) for item in value]
    return _one(field, value)


def _one(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return as_json(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value
