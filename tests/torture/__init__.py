"""`make torture`: events to a receiver that fails, from a dispatcher that is killed; all counted."""
