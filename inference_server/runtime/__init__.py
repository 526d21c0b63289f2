"""Everything that touches ONNX Runtime: the session, its threads, and tensors in and out.

ONNX Runtime's stock build reports its use to its maker: it opens a database below the user's home
and starts threads that upload it. Only this variable keeps all of that from happening, and only if
it is set before the first import, so it is set here. Who wants the reports sets it to 0.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # noqa: TID251 - written for ONNX Runtime
