"""Processes that evaluate what tenants write: limited in time and memory, and killed at a deadline.

The pool and the process know nothing of what is evaluated: they carry bytes. `gateway.flows` says
what the bytes mean.
"""
