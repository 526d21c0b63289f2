"""Tests that run on each combination of database and broker."""
