"""Observability of every process: logs, metrics, redaction, and the pipes to the parent process.

Imports none of our other packages.
"""
