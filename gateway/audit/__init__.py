"""Who did what, when and from where: read, filtered, exported. `storage/trail.py` writes it."""
