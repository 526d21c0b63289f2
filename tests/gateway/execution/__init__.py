"""Execution of runs: progress and metrics."""
