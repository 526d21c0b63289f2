"""What an editor needs while it changes a flow: node kinds, checks and test runs."""
