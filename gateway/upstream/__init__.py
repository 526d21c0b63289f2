"""Connections to inference servers by the Open Inference Protocol, as Triton speaks it."""
