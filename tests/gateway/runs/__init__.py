"""Runs: rows, waiting, and what callers may do with them."""
