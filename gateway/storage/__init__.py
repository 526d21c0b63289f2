"""The database, SQLite or PostgreSQL: tables, migrations, change feed and audit events.

It contains no feature's rules. Each feature has its queries in a `store.py`.
"""
