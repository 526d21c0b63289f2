"""The kinds of nodes: one file each, and one line in `registry.py`. Pure."""
