"""Canaries and shadows."""
