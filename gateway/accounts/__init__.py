"""Users: passwords, roles and login. Sessions and API keys are in `auth`."""
