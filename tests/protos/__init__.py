"""Tests of the contract between the processes: codec, error tables, generated messages."""
