"""Users: passwords, roles, console sessions. Keys are `auth`'s."""
