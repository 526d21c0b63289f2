"""Tests of what an editor needs."""
