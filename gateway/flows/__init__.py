"""Flows: drafts of graphs, checked when they are saved, and the engine that runs them.

Pure but for `router`, `service` and `store`: the engine reaches the world through `ports`.
"""
