"""Tests of the gateway's connections to inference servers, our own and other implementations."""
