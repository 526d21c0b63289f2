"""The process that runs flows of type `api`: `python -m gateway.worker`.

A **queue worker** is a Celery worker (prefork) on one or both of the queues; each of its children
runs one flow at a time. A worker with N runs at a time consists of two queue workers, one of them
for sync runs only, so that a short run always finds a child, however many long runs there are.
The supervisor starts, watches and drains them (`slipstream/supervisor/worker_manager.py`).
"""
