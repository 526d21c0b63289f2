"""Calls of deployments that run as runs or batches; fast ones are in `gateway.fast_path`."""
