"""Executing runs: what is told of them, and when they stop."""
