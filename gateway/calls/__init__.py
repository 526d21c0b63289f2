"""Calls of deployments that failed or took long: kept for a while, looked up, and explained."""
