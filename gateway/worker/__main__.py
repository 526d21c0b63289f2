"""A queue worker, as `slipstream up` and `slipstream worker` start it."""

from __future__ import annotations

import sys

from gateway.execution.worker_runtime import WorkerRuntime
from gateway.worker.queue_worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], WorkerRuntime))
