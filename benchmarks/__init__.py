"""Side-by-side benchmarks: `python -m benchmarks --help`. No part of what is installed."""

from __future__ import annotations
