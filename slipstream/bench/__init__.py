"""The load generator: a process of its own, its results, and how they are shown."""
