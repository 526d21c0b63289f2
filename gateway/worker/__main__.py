"""A worker, as `slipstream up` and `slipstream worker` start it."""

from __future__ import annotations

import sys

from telemetry import garbage_collection

if __name__ == "__main__":
    garbage_collection.pause()  # before the imports, which take a second

    from gateway.execution.worker_runtime import WorkerRuntime
    from gateway.worker.worker import main

    sys.exit(main(sys.argv[1:], WorkerRuntime))
