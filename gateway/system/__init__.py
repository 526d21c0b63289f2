"""The state of an installation as a whole, for those who operate it."""
