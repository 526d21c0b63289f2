"""End-to-end tests: real processes and real clients over the network."""
