"""Inference servers as rows: their desired state, their replicas, and what was last observed.

`hosts` are the machines that run them, `placement` decides which host runs a replica. The host's
supervisor starts and stops processes to match the rows. `processes` are the gateways and queue
workers, of hosts and others.
"""
