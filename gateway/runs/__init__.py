"""Runs: the row of a run in the database is the only source of truth about it.

`run.py`, `responses.py` and `idempotency.py` are pure. `store.py` has the transactions, with the
reads in `queries.py` and the maintenance in `sweep_queries.py`. `waiter.py` waits for runs to end.
Execution is in `gateway.execution`.
"""
