"""The command and the supervisor, with real processes."""
