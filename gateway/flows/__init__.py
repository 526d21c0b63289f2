"""Flows: graphs of nodes, validated when they are saved, and the engine that runs them.

All modules but `router`, `service` and `store` are pure; the engine does its I/O through `ports`.
"""
