"""Tests of how the parts lie: who imports whom, and what the documents promise."""
