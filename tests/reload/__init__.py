"""Reloads under load: `python -m tests.reload` counts what they cost."""
