"""Executes runs: a launcher hands them over, an executor claims them and writes their results."""
