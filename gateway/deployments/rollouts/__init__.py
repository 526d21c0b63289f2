"""Canaries and shadows: a version is tried beside the live one, and goes live or is rolled back."""
