"""Runs: one execution each, whose row in the database is the truth about it.

`run.py`, `bodies.py`, `failures.py` and `idempotency.py` are pure. `store.py` keeps the rows, with
`reading.py` and `sweeps.py`; `orphans.py` ends those whose deployment or user is deleted,
`waiter.py` waits for them, `service.py` and `router.py` answer for them. Nothing here executes.
"""
