"""The database: SQLite or PostgreSQL, its tables, its migrations, and the feed of changes.

Knows rows and transactions, and no feature's rules. Features keep their queries in a `store.py`.
"""
