"""Search over the objects of a user."""
