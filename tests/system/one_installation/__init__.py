"""Tests that share one installation; it ends with the last of them."""
