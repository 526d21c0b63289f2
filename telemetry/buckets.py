"""Upper bounds of the histograms' buckets."""

from __future__ import annotations

LATENCY_SECONDS: tuple[float, ...] = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
"""50 µs, where a fast call of a tiny model lives, to 60 s."""

BATCH_SIZES: tuple[float, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Rows that one ONNX Runtime call took."""
