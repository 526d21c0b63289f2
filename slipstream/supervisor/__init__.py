"""The parent of all processes on one machine: starts, monitors, restarts and drains them.

`process` is one child process, `process_manager` runs one for each desired key, and `reconcile`
decides for it. `gateways`, `worker_manager` and `fleet` say what should run. `fork_server_spawner`
and `shared_process` start inference servers. `supervisor` puts them together.
"""
