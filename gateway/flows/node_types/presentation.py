"""How an editor presents a node type. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class NodeGroup(StrEnum):
    """Where an editor lists a node type."""

    ENDPOINT = "endpoint"
    """The call's input and output."""
    MODEL = "model"
    DATA = "data"
    CONTROL = "control"
    INTEGRATION = "integration"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePresentation:
    """How an editor presents a node type."""

    title: str
    description: str
    icon: str
    """The name of a Lucide icon."""
    group: NodeGroup
    initial: Mapping[str, Any] = field(default_factory=dict)
    """The configuration of a new node, beside the defaults of its members (Any: JSON)."""
    has_input: bool = True
    """Whether edges usually lead to it."""
    has_output: bool = True
    """Whether edges usually lead away from it."""
