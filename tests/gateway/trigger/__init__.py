"""Calls of deployments by their readable addresses."""
