"""Benchmarks: `python -m benchmarks --help`. Not part of the installed package."""

from __future__ import annotations
