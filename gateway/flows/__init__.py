"""Flows: drafts of graphs, checked when they are saved. `spec`, `graph` and `paths` are pure."""
