"""Tests of all parts. Some import ONNX Runtime: its reports are off here as in the product."""

from __future__ import annotations

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
