"""Tests of log lines, instruments and their snapshots."""
