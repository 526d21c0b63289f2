"""Labels of hosts, which inference servers can require. Standard library only: options use it."""

from __future__ import annotations

import re
from collections.abc import Mapping

Labels = Mapping[str, str]
"""Of a host; or those that a server requires of its hosts."""

LABEL_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_./-]{0,61}[A-Za-z0-9])?$"
"""Of names and values."""
MAX_LABELS = 16

_LABEL = re.compile(LABEL_PATTERN)


def parse_labels(text: str) -> Labels:
    """Read NAME=VALUE,...; raise ValueError on anything else."""
    labels = {}
    for pair in filter(None, text.split(",")):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (equals and _LABEL.match(name) and _LABEL.match(value)):
            raise ValueError(f"expected NAME=VALUE,..., such as zone=b, got {text!r}")
        labels[name] = value
    if len(labels) > MAX_LABELS:
        raise ValueError(f"expected up to {MAX_LABELS} labels, got {len(labels)}")
    return labels


def format_labels(labels: Labels) -> str:
    """Return NAME=VALUE,... by name."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def fits(labels: Labels, required: Labels) -> bool:
    """Whether a host with `labels` may run what requires some."""
    return required.items() <= labels.items()
