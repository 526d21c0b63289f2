"""Inference servers as rows: their desired state and their last observed state.

The supervisor, or another process manager, starts and stops processes to match the rows.
"""
