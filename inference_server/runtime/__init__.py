"""Everything that touches ONNX Runtime: the session, its threads, warm-up and verification.

Two libraries read environment variables when they are first imported, so the variables are set
here. ONNX Runtime's stock build sends usage reports to its vendor: it opens a database in the
user's home and starts upload threads. ORT_DISABLE_TELEMETRY=1 prevents all of that; set it to 0 to
send reports. OpenBLAS, which numpy uses, starts a thread per CPU: nothing here multiplies matrices
in numpy, and a process that forks must not have threads.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - written for ONNX Runtime
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - written for numpy
