"""The gateway: REST and gRPC, flows, deployments, keys and calls.

Features are folders with the same file names in each (router, schemas, service, store, and pure
modules). Imports go one way only; `pyproject.toml` has the order and import-linter keeps it.
"""
