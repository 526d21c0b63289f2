"""Misbehaving clients against a busy installation, and what a well-behaved one notices."""
