"""Stands in for the execution of runs until that is there."""
