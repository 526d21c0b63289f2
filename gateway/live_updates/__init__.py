"""Live updates: what changes of a user's resources, as server-sent events."""
