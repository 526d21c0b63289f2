"""The gateway's features, on SQLite and on PostgreSQL."""
