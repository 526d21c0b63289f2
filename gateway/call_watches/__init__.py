"""Watches of deployments: a page waits for the next calls, and says why one was refused."""
