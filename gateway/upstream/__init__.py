"""Connections to the inference servers. Plain Open Inference Protocol: Triton would do, too."""
