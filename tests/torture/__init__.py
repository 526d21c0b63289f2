"""`make torture`: events to receivers that fail, their dispatcher killed, and all of it counted."""
