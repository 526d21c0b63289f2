"""Reading the audit log: lists, filters, export. `storage/audit_events.py` writes it."""
