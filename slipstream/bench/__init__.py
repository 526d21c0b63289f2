"""Load on one URL: a generator in a process of its own, what it measured, and how that is shown."""
