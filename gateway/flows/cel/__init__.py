"""Expressions: CEL parsing, cost limits, compilation and evaluation. Pure."""
