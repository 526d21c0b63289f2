"""Authentication: API keys, console sessions, and the identity behind each request."""
