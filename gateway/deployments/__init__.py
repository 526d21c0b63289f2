"""Deployments: a stable URL for a flow, immutable versions behind it, and the fast plan."""
