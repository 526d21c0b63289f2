"""Calls, errors and latencies by deployment, version and key, rolled up by minute and day."""
