"""Runs: storage, waiting, and the REST API."""
