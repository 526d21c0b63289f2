"""Everything that touches ONNX Runtime: the session, its threads, and tensors in and out.

Two libraries read their settings from the environment when they are first imported, so here they
are set. ONNX Runtime's stock build reports its use to its maker: it opens a database below the
user's home and starts threads that upload it. Only this variable keeps all of that from happening;
who wants the reports sets it to 0. OpenBLAS, below numpy, starts a thread for every CPU: nothing
here multiplies matrices in numpy, and a process that forks must not have any.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - written for ONNX Runtime
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # noqa: TID251 - written for numpy
