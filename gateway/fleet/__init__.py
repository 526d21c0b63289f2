"""Inference servers as they should be and as they were last seen: rows, not processes.

The supervisor (or, elsewhere, an operator's own means) makes processes follow the rows.
"""
