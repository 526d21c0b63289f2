"""Proves that row i of a model's outputs depends on row i of its inputs alone.

Then calls of several callers can share a run. `proof.prove` reads the graph once, node by node;
`tensors` says what it knows of each tensor, and the modules of rules what each operator does. What
no rule shows is refused.
"""

from __future__ import annotations

VERSION = 2
"""Of the rules. A model that was checked with others is checked again at its next start."""
MAX_SIZE = 1 << 20
"""Every dimension of an input of a shared run is smaller, so that products of two of them do not
wrap around where they are computed."""
