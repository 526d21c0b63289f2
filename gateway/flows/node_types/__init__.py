"""The node types: one module each, and one line in `registry.py`. Pure."""
