"""How an inference server tells where a call's time went: two parameters of its answer."""

from __future__ import annotations

QUEUE_NS = "slipstream-queue-ns"
"""Nanoseconds between a call's being read and its run's beginning (int64)."""
INFER_NS = "slipstream-infer-ns"
"""Nanoseconds in ONNX Runtime (int64)."""
