"""Deployments, their versions and the rollout of a new one."""
