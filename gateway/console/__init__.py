"""The web console: its built files, and what it asks first of an installation."""
