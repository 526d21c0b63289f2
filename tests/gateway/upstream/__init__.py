"""Tests of the gateway's connections to inference servers, of ours and of a stranger's."""
