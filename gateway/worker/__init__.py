"""The process that runs flows of type `api`: `python -m gateway.worker`.

A thread of Celery's takes run ids from the broker (`consumer.py`) while there are free slots
(`slots.py`), and an event loop executes those runs at the same time (`worker.py`), as a gateway
does with runs of type `server`. What can block or crash is in child processes
(`gateway/children/`). The supervisor starts, watches and drains the worker
(`slipstream/supervisor/worker_manager.py`).
"""
