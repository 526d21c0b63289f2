"""Runs flows: claims a run's row, executes its version with real models, writes the ending."""
