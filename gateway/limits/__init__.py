"""Rate and concurrency limits of keys, deployments and client addresses.

Knows no web framework, no database and no feature.
"""
