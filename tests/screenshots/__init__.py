"""Pictures of every screen of the console, of an installation with something in it."""
