"""The tests, folder by folder as the packages they test; they run the real parts.

Some import ONNX Runtime themselves: its reports to its maker are off here as in the product.
"""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
